"""The heterogeneity study as a table, sentences and a figure."""

import pandas as pd
from matplotlib.figure import Figure

from ms_pfl.evaluation.metrics import SCOPES
from ms_pfl.paradigms import color_of, model_name, models_in_order
from ms_pfl.reporting.figures import INK, legend_below, styled
from ms_pfl.reporting.words import rows_by, signed
from ms_pfl.studies.heterogeneity.compare import REFERENCE
from ms_pfl.studies.heterogeneity.registries import COMMON


def registry_name(way: str, knob: float) -> str:
    """Return a registry of the study in words.

    >>> registry_name("common", 0.5), registry_name("slopes_only", 1.0)
    ('Knobs x 0.5', 'Slopes only')
    """
    return f"Knobs x {knob:g}" if way == COMMON else way.replace("_", " ").capitalize()


def heterogeneity_table(gains: pd.DataFrame) -> pd.DataFrame:
    """Lay the gains out: a row per registry and scope, a column per model, text cells.

    Args:
        gains: the table of :func:`ms_pfl.studies.heterogeneity.compare.measure`.

    Returns:
        ``Countries differ by``, ``ROC-AUC`` (pooled, macro, size-weighted), the federated model's
        value, then the gain of each other model with its simultaneous 95 % interval.
    """
    models = models_in_order(gains)
    found = rows_by(gains, "way", "knob", "scope", "paradigm", "strategy")
    rows = []
    for way, knob in gains[["way", "knob"]].drop_duplicates().itertuples(index=False):
        for scope in dict.fromkeys(gains["scope"]):
            first = found[way, knob, scope, *models[0]]
            cells = {
                "Countries differ by": registry_name(way, knob),
                "ROC-AUC": SCOPES[scope],
                model_name(*REFERENCE): f"{first['federated']:.3f}",
            }
            for model in models:
                row = dict(found[way, knob, scope, *model])
                cells[model_name(*model)] = signed(row | {"difference": row["gain"]})
            rows.append(cells)
    return pd.DataFrame(rows, dtype="str")


def heterogeneity_sentences(gains: pd.DataFrame) -> list[str]:
    """Say in which registries a model is better or worse than the federated one."""
    lines = []
    pooled = gains[gains["scope"] == "pooled"]
    for way, knob in pooled[["way", "knob"]].drop_duplicates().itertuples(index=False):
        own = pooled[(pooled["way"] == way) & (pooled["knob"] == knob)]
        better = [model_name(r.paradigm, r.strategy) for r in own.itertuples() if r.low > 0]
        worse = [model_name(r.paradigm, r.strategy) for r in own.itertuples() if r.high < 0]
        parts = [f"better: {', '.join(better)}"] * bool(better)
        parts += [f"worse: {', '.join(worse)}"] * bool(worse)
        lines.append(
            f"{registry_name(way, knob)}, pooled ROC-AUC against the federated model: "
            f"{'; '.join(parts) or 'no statistically significant difference'}."
        )
    return lines


@styled
def draw_heterogeneity(gains: pd.DataFrame) -> Figure:
    """Draw the gains against the common knob, and of each way apart, a panel per scope."""
    scopes = list(dict.fromkeys(gains["scope"]))
    models = models_in_order(gains)
    knobs = sorted(gains.loc[gains["way"] == COMMON, "knob"].unique())
    ways = [way for way in dict.fromkeys(gains["way"]) if way != COMMON]
    labels = [registry_name(COMMON, knob) for knob in knobs] + [
        registry_name(way, 1.0) for way in ways
    ]
    figure = Figure(figsize=(3.6 * len(scopes), 4.4), layout="constrained")
    panels = figure.subplots(1, len(scopes), sharey=True, squeeze=False)[0]
    for axes, scope in zip(panels, scopes, strict=True):
        axes.axhline(0, color=INK, linewidth=0.8)
        for i, (paradigm, strategy) in enumerate(models):
            own = gains[
                (gains["scope"] == scope)
                & (gains["paradigm"] == paradigm)
                & (gains["strategy"] == strategy)
            ]
            is_common = own["way"] == COMMON
            place = {knob: k for k, knob in enumerate(knobs)}
            beside = {way: len(knobs) + k for k, way in enumerate(ways)}
            at = own["knob"].map(place).where(is_common, own["way"].map(beside))
            at = at + 0.16 * (i - (len(models) - 1) / 2)
            color = color_of(paradigm)
            axes.vlines(at, own["low"], own["high"], color=color, linewidth=1.4)
            axes.plot(at, own["gain"], "o", color=color, label=model_name(paradigm, strategy))
            line = own[is_common].sort_values("knob").index
            axes.plot(at[line], own.loc[line, "gain"], color=color, linewidth=0.8)
        axes.set(title=f"{SCOPES[scope]} ROC-AUC")
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    panels[0].set_ylabel("gain over the federated model")
    legend_below(figure, panels[0])
    return figure
