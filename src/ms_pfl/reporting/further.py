"""What to expect beyond this comparison: in a further site, and of the model for new patients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from ms_pfl.evaluation.choice import SERVED
from ms_pfl.evaluation.differences import PRIMARY
from ms_pfl.evaluation.inference import NO_VERDICT
from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.paradigms import color_of, is_trained, model_name, models_in_order
from ms_pfl.reporting.content import About, Block, Content, Details, Picture, Table, note
from ms_pfl.reporting.figures import INK, diamond, of_strategy, styled
from ms_pfl.reporting.verdicts import digits_of
from ms_pfl.reporting.words import (
    MISSING,
    Row,
    interval_end,
    percent,
    rows_by,
    signed,
    with_interval,
)

_VALUES = ("roc_auc", "log_loss", "observed_expected")
_DIFFERENCES = ("roc_auc", "log_loss")
_DRAWN = "roc_auc"
_PAIR = ["paradigm", "strategy", "reference", "reference_strategy"]


def section(about: About, further_country: pd.DataFrame) -> Content | None:
    """Show what to expect in a further site; None where there are too few to say."""
    known = further_country[further_country["low"].notna()]
    if known.empty:
        return None
    comparison = about.configuration.get("comparison", {})
    margin = (comparison.get("margin") or {}).get(_DRAWN, math.nan)
    drawn = shown_pairs(known, about.strategy)
    content: list[Block] = []
    if not drawn.empty:
        content.append(
            Picture(
                "further_country",
                draw_differences(drawn, margin),
                about.fill(
                    "Planned differences in ROC-AUC: mean over {sites} and prediction interval of "
                    "a further {site}. The numbers are in the table of planned differences."
                ),
                about.fill(
                    "Planned differences in ROC-AUC ({strategy}). Diamond: mean over {sites} with "
                    "its 95 % interval; line: 95 % prediction interval of the true difference in a "
                    f"further {{site}}{'; gray: the margin' if margin > 0 else ''}. Where the line "
                    "crosses 0, the first model may be the worse one there."
                ),
            )
        )
    return [
        *content,
        note(
            about.fill(
                "A further {site} is taken for one more of the same kind (random effects over the "
                "{sites} with enough test patients; Hartung and Knapp; 95 % prediction intervals "
                "for its true value). Good: the probability that a further {site} has a good "
                f"value ({_ranges(comparison.get('good') or {})}), or a difference that is not to "
                "the worse by more than the margin. Between: standard deviation of the true values "
                "between {sites}, of ROC-AUC on the logit scale, of observed / expected on the log "
                "scale. ROC-AUC is that within {sites}; the pooled one also compares patients of "
                "different {sites}, so that the two can differ."
            )
        ),
        Details(
            about.fill("Planned differences: what to expect in a further {site}"),
            [Table(differences_table(known), "verdicts")],
        ),
        Details(
            about.fill("Values: what to expect in a further {site}"),
            [Table(values_table(known), "verdicts")],
        ),
    ]


def _ranges(good: Mapping[str, tuple[float, float]]) -> str:
    """Return the ranges of good values in words."""
    said = [f"{METRICS[name].label} {low:g} to {high:g}" for name, (low, high) in good.items()]
    return ", ".join(said) or "no range is set"


def shown_pairs(known: pd.DataFrame, strategy: str) -> pd.DataFrame:
    """Return the differences in ROC-AUC that are drawn: of what is trained, by one strategy.

    Args:
        known: rows of :func:`ms_pfl.evaluation.further_country.further_country` with an interval.
        strategy: the federated strategy that is shown.
    """
    own = known[(known["reference"] != "") & (known["metric"] == _DRAWN)]
    trained = own["paradigm"].map(is_trained) & own["reference"].map(is_trained)
    other = own.drop(columns="strategy").rename(columns={"reference_strategy": "strategy"})
    alike = own.index.isin(
        of_strategy(own, strategy).index.intersection(of_strategy(other, strategy).index)
    )
    return own[trained.astype(bool) & alike]


@styled
def draw_differences(rows: pd.DataFrame, margin: float) -> Figure:
    """Draw planned differences, a row each: diamond for the mean, line for a further site.

    Args:
        rows: of :func:`shown_pairs`.
        margin: the largest difference that does not matter; NaN: none is drawn.
    """
    figure = Figure(figsize=(7, 1.0 + 0.28 * len(rows)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=INK, linewidth=0.8)
    if margin > 0:
        axes.axvspan(-margin, margin, color=INK, alpha=0.08, linewidth=0)
    for place, row in enumerate(rows.to_dict("records")):
        color = color_of(row["paradigm"])
        axes.hlines(place, row["low"], row["high"], color=color, linewidth=1.4)
        diamond(axes, (row["mean_low"], row["mean"], row["mean_high"]), place, color, 0.25)
    names = [
        f"{model_name(*pair[:2])} − {model_name(*pair[2:])}"
        for pair in rows[_PAIR].astype("str").itertuples(index=False, name=None)
    ]
    axes.set(
        xlabel=f"difference in {METRICS[_DRAWN].label}",
        yticks=range(len(rows)),
        yticklabels=names,
        ylim=(len(rows) - 0.4, -0.6),
    )
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
    return figure


def values_table(further: pd.DataFrame) -> pd.DataFrame:
    """Lay out, model by model, the prediction intervals of a further site.

    Args:
        further: the table of :func:`ms_pfl.evaluation.further_country.further_country`.

    Returns:
        Text cells, a row per model: ``Model``, then for ROC-AUC, log-loss and observed / expected
        the mean with the interval of a further site, ``Between`` and, where a range is set,
        ``Good``.
    """
    own = further[further["reference"] == ""]
    found = rows_by(own, "paradigm", "strategy", "metric")
    rows = []
    for model in models_in_order(own):
        cells = [("Model", model_name(*model))]
        for metric in _VALUES:
            row = found[*model, metric]
            cells += [
                (METRICS[metric].label, _expected(row, METRICS[metric].digits)),
                ("Between", MISSING if pd.isna(row["tau"]) else f"{row['tau']:.3f}"),
            ]
            if further.loc[further["metric"] == metric, "probability_good"].notna().any():
                cells.append(("Good", percent(row["probability_good"], 0)))
        rows.append(cells)
    return _table(rows)


def differences_table(further: pd.DataFrame) -> pd.DataFrame:
    """Lay out, pair by pair, the prediction intervals of the difference in a further site.

    Returns:
        Text cells, a row per planned pair: ``Model``, ``Compared with``, then for ROC-AUC and
        log-loss the mean difference with the interval of a further site, ``Verdict`` and ``Good``.
    """
    own = further[further["reference"] != ""]
    found = rows_by(own, *_PAIR, "metric")
    rows = []
    for pair in own[_PAIR].drop_duplicates().itertuples(index=False, name=None):
        cells = [("Model", model_name(*pair[:2])), ("Compared with", model_name(*pair[2:]))]
        for metric in _DIFFERENCES:
            row = found[*map(str, pair), metric]
            expected = {name: row[name] for name in ("low", "high")} | {"difference": row["mean"]}
            said = row["verdict"]
            cells += [
                (METRICS[metric].label, signed(expected, digits_of(metric))),
                ("Verdict", said if isinstance(said, str) and said != NO_VERDICT else MISSING),
                ("Good", percent(row["probability_good"], 0)),
            ]
        rows.append(cells)
    return _table(rows)


def _expected(row: Row, digits: int) -> str:
    return with_interval({"value": row["mean"], "low": row["low"], "high": row["high"]}, digits)


def _table(rows: list[list[tuple[str, str]]]) -> pd.DataFrame:
    """Return a table of text cells; names of columns may repeat."""
    return pd.DataFrame(
        [[cell for _, cell in cells] for cells in rows],
        columns=[name for name, _ in rows[0]] if rows else [],
        dtype="str",
    )


def further_sentence(further: pd.DataFrame, pooled: pd.DataFrame, site: str) -> str:
    """Say what to expect of the primary comparisons in a further site; empty where not known.

    Args:
        further: the table of :func:`ms_pfl.evaluation.further_country.further_country`.
        pooled: planned differences in pooled ROC-AUC.
        site: what a site is called.
    """
    primary = pooled.loc[pooled["role"] == PRIMARY, _PAIR]
    own = further[(further["metric"] == "roc_auc") & further["low"].notna()]
    own = own.merge(primary, on=_PAIR)
    parts = [
        f"{model_name(row['paradigm'], row['strategy'])} against "
        f"{model_name(row['reference'], row['reference_strategy'])} {interval_end(row['low'])} to "
        f"{interval_end(row['high'])} ({row['verdict']})"
        for row in own.to_dict("records")
    ]
    if not parts:
        return ""
    return f"In a further {site} of this kind expect these differences in ROC-AUC: " + (
        f"{'; '.join(parts)}."
    )


def choice_sentence(choice: Mapping[str, Any], estimates: pd.DataFrame) -> str:
    """Say what serves new patients and why, with its test scores beside the best single training's.

    Args:
        choice: a :class:`ms_pfl.evaluation.choice.Choice`.
        estimates: the table of :func:`ms_pfl.evaluation.differences.add_intervals`.
    """
    own = estimates[estimates["scope"] == "pooled"]
    found = rows_by(own, "paradigm", "strategy", "metric")
    losses = own[(own["metric"] == "log_loss") & own["paradigm"].map(is_trained).astype(bool)]
    losses = losses.dropna(subset=["value"])
    text = " ".join(choice["why"])
    served = found[SERVED, "none", "log_loss"]
    if losses.empty or pd.isna(served["value"]):
        return text
    best = losses.loc[losses["value"].idxmin()]
    model = str(best["paradigm"]), str(best["strategy"])

    def scores(name: tuple[str, str]) -> str:
        log_loss, roc_auc = found[*name, "log_loss"], found[*name, "roc_auc"]
        return f"log-loss {with_interval(log_loss, 4)}, ROC-AUC {with_interval(roc_auc)}"

    return (
        f"{text} On test patients it has {scores((SERVED, 'none'))}; the single training with the "
        f"lowest test log-loss, {model_name(*model)}, {scores(model)}."
    )
