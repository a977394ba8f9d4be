"""The first screen: who was studied, every training with its interval, and the verdict matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ms_pfl.evaluation.inference import BETTER, EQUIVALENT, INCONCLUSIVE, WORSE
from ms_pfl.evaluation.metrics import METRICS, SCOPES
from ms_pfl.paradigms import (
    color_of,
    is_trained,
    learner_of,
    model_name,
    models_in_order,
    paradigm_name,
    strategy_name,
)
from ms_pfl.reporting.content import About, Content, Picture, Table, note
from ms_pfl.reporting.figures import INK, marker_of, styled
from ms_pfl.reporting.words import (
    MISSING,
    Row,
    capitalized,
    paradigms_in_order,
    rows_by,
    signed,
)

_METRIC, _SCOPE = "roc_auc", "pooled"
_REFERENCE = "federated"
_TURNED = {BETTER: WORSE, WORSE: BETTER}
#: How a verdict looks where there is no color.
SYMBOLS = {BETTER: "▲", WORSE: "▼", EQUIVALENT: "=", INCONCLUSIVE: "?"}


def answer(about: About, estimates: pd.DataFrame, differences: pd.DataFrame) -> Content:
    """Show every training with its interval, and what each is against the federated one."""
    margins = about.configuration.get("comparison", {}).get("margin") or {}
    margin = margins.get(_METRIC, np.nan)
    label = f"{SCOPES[_SCOPE]} {METRICS[_METRIC].label}"
    known = np.isfinite(margin)
    band = f", and the margin of ± {margin:g} around it" if known else ""
    alike = f"{SYMBOLS[EQUIVALENT]} equivalent: it holds 0 and lies within ± {margin:g}. "
    found = against_federated(differences)
    content: list[Table | Picture] = [
        Picture(
            "all_trainings",
            all_trainings(estimates, about.strategy, margin),
            f"{capitalized(label)} of every training, with its interval",
            about.fill(
                f"{capitalized(label)}: mean over seeds, with the 95 % interval of the patient "
                f"bootstrap. Line: the federated model trained with {{strategy}}{band}. Intervals "
                "of two models that overlap do not say that the models are alike: their "
                "difference is below."
            ),
        )
    ]
    if found.empty:
        return content
    cells, marks = verdict_matrix(found)
    return [
        *content,
        Table(cells, "matrix", marks=marks),
        note(
            about.fill(
                f"Difference in {label} from the federated model of the same strategy, its 95 % "
                f"interval, verdict, and {{sites}} in which it is better / neither / worse. "
                f"{SYMBOLS[BETTER]} better and {SYMBOLS[WORSE]} worse: the interval excludes 0. "
                f"{alike if known else ''}{SYMBOLS[INCONCLUSIVE]} inconclusive: neither."
            )
        ),
    ]


def against_federated(differences: pd.DataFrame) -> pd.DataFrame:
    """Return every model's difference from the federated model of its strategy or learner.

    Args:
        differences: the table of :func:`ms_pfl.evaluation.differences.planned_differences`, in
            which federated models are compared with local and centralized ones: these are turned.

    Returns:
        paradigm, strategy (of the federated model), scope, country, metric, difference, low, high,
        verdict. Models that are made from the predictions of others are left out.
    """
    model, numbers = ["paradigm", "strategy"], ["difference", "low", "high", "verdict"]
    columns = [*model, "scope", "country", "metric", *numbers]
    known = differences.dropna(subset=["difference"])
    over = known[(known["reference"] == _REFERENCE) & _trained(known)]
    over = over.assign(strategy=over["reference_strategy"])
    under = known[known["paradigm"] == _REFERENCE]
    turned = under.assign(
        paradigm=under["reference"],
        difference=-under["difference"],
        low=-under["high"],
        high=-under["low"],
        verdict=under["verdict"].replace(_TURNED),
    )
    return pd.concat([turned[columns], over[columns]], ignore_index=True)


def _trained(table: pd.DataFrame) -> pd.Series:
    return table["paradigm"].map(is_trained).astype(bool)


def verdict_matrix(found: pd.DataFrame) -> tuple[pd.DataFrame, dict[tuple[int, int], str]]:
    """Lay out the verdicts, a row per paradigm and a column per strategy.

    Args:
        found: the table of :func:`against_federated`.

    Returns:
        Text cells, and the verdict of each (row, column) that has one.
    """
    own = found[found["metric"] == _METRIC]
    overall = own[own["scope"] == _SCOPE]
    countries = own[own["scope"] == "country"].groupby(["paradigm", "strategy"])["verdict"]
    counts = {model: Counter(verdicts) for model, verdicts in countries}
    rows = rows_by(overall, "paradigm", "strategy")
    models = models_in_order(overall)
    strategies = list(dict.fromkeys(strategy for _, strategy in models))
    table, marks = [], {}
    for i, paradigm in enumerate(paradigms_in_order(overall)):
        cells = [paradigm_name(paradigm)]
        for j, strategy in enumerate(strategies, start=1):
            if (paradigm, strategy) not in models:
                cells.append(MISSING)
                continue
            row = rows[paradigm, strategy]
            if row["verdict"]:
                marks[i, j] = str(row["verdict"])
            cells.append(_cell(row, counts.get((paradigm, strategy))))
        table.append(cells)
    names = [strategy_name(strategy) or paradigm_name(strategy) for strategy in strategies]
    return pd.DataFrame(table, columns=["Against federated", *names], dtype="str"), marks


def _cell(row: Row, countries: Counter[str] | None) -> str:
    said = str(row["verdict"])
    below = [f"{SYMBOLS[said]} {said}"] if said else []
    if countries is not None and any(countries[name] for name in SYMBOLS):
        neither = countries[EQUIVALENT] + countries[INCONCLUSIVE]
        below.append(f"{countries[BETTER]} / {neither} / {countries[WORSE]}")
    return "\n".join(line for line in (signed(row), " · ".join(below)) if line)


@styled
def all_trainings(estimates: pd.DataFrame, strategy: str, margin: float) -> Figure:
    """Draw the pooled ROC-AUC of every training, with the reference and its margin behind.

    Args:
        estimates: the table of :func:`ms_pfl.evaluation.differences.add_intervals`.
        strategy: of the federated model that is the reference.
        margin: the largest difference that does not matter; NaN: none is drawn.
    """
    own = estimates[(estimates["metric"] == _METRIC) & (estimates["scope"] == _SCOPE)]
    own = own[_trained(own)].dropna(subset=["value"])
    models = models_in_order(own)
    rows = rows_by(own, "paradigm", "strategy")
    figure = Figure(figsize=(8, 0.8 + 0.17 * max(1, len(models))), layout="constrained")
    axes = figure.subplots()
    if (_REFERENCE, strategy) in models:
        middle = float(rows[_REFERENCE, strategy]["value"])
        axes.axvline(middle, color=INK, linewidth=0.8, linestyle=":")
        if np.isfinite(margin):
            axes.axvspan(middle - margin, middle + margin, color=INK, alpha=0.08, linewidth=0)
    place, last = 0.0, ""
    places = []
    for paradigm, name in models:
        row = rows[paradigm, name]
        place += 0.5 if last and name != last else 0.0  # a gap between strategies
        color = color_of(paradigm)
        axes.hlines(place, row["low"], row["high"], color=color, linewidth=1.4)
        axes.plot(row["value"], place, marker_of(learner_of(name)), color=color, markersize=6)
        places.append(place)
        place, last = place + 1, name
    axes.set(
        xlabel=capitalized(f"{SCOPES[_SCOPE]} {METRICS[_METRIC].label}"),
        yticks=places,
        yticklabels=[model_name(*model) for model in models],
        ylim=(max(place, 1.0) - 0.4, -0.6),
    )
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
    return figure


def data_strip(about: About, configuration: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return what is known of the data in a few numbers, with what each counts.

    Args:
        about: source and countries of the run.
        configuration: the parameters of the run.
    """
    if about.countries.empty:
        return []
    total = about.countries[["n_patients", "n_episodes", "n_positive"]].sum()
    seeds = configuration.get("seeds")
    events = f"{100 * total['n_positive'] / total['n_episodes']:.1f} %"
    strip = [
        (f"{total['n_patients']:,}", "patients"),
        (f"{total['n_episodes']:,}", "episodes"),
        (f"{total['n_positive']:,} ({events})", "with the outcome"),
        (f"{len(about.countries)}", about.sites if len(about.countries) != 1 else about.site),
    ]
    return strip + ([(str(len(seeds)), "seeds")] if isinstance(seeds, list) else [])
