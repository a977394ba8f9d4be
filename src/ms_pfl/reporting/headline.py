"""The result in a few plain sentences, made from the tables of the comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ms_pfl.evaluation.bootstrap import MIN_PATIENTS
from ms_pfl.evaluation.differences import PRIMARY
from ms_pfl.evaluation.inference import LEVEL, VERDICTS
from ms_pfl.evaluation.metrics import METRICS, SCOPES
from ms_pfl.names import listed
from ms_pfl.paradigms import (
    is_trained,
    model_name,
    paradigm_name,
    paradigm_row,
    strategy_name,
)
from ms_pfl.reporting.further import choice_sentence, further_sentence
from ms_pfl.reporting.verdicts import verdict_sentence
from ms_pfl.reporting.words import capitalized, paradigms_in_order, signed, with_interval, with_sign

#: So many sentences are on the first screen of the report, and on the console.
FIRST_LINES = 5
_NAMED = 6  # so many countries are named; more are counted


def headline(
    estimates: pd.DataFrame,
    differences: pd.DataFrame,
    sites: tuple[str, str],
    n_seeds: int,
    margins: Mapping[str, float] | None = None,
    further: pd.DataFrame | None = None,
    choice: Mapping[str, Any] | None = None,
) -> list[str]:
    """Say which models do best, what personalization adds, and with which uncertainty.

    Args:
        estimates: the table of :func:`ms_pfl.evaluation.differences.add_intervals`.
        differences: the table of :func:`ms_pfl.evaluation.differences.planned_differences`.
        sites: what the data call a country, and several.
        n_seeds: how many seeds the values are means of.
        margins: by metric, the largest difference that does not matter.
        further: the table of :func:`ms_pfl.evaluation.further_country.further_country`.
        choice: what serves new patients, a :class:`ms_pfl.evaluation.choice.Choice`.

    Returns:
        One paragraph per entry, the personalization first; the last says what the numbers mean.
    """
    margins = margins or {}
    pooled = differences[(differences["metric"] == "roc_auc") & (differences["scope"] == "pooled")]
    trained = pooled[pooled["paradigm"].map(is_trained).astype(bool)]
    personalized = paradigms_in_order(trained[trained["reference"] == "federated"])
    # those of the study come first
    study = [name for name in personalized if paradigm_row(name).family == "study"]
    others = [name for name in personalized if name not in study]
    over = f"means over {n_seeds} seeds (patient splits and initial weights)"
    lines = [
        *(_against(pooled, paradigm, "federated", margins) for paradigm in study),
        *(_against(pooled, "federated", name, margins) for name in ("local", "centralized")),
        "" if further is None else further_sentence(further, pooled, sites[0]),
        *(_against(pooled, paradigm, "federated", margins) for paradigm in others),
        "" if choice is None else choice_sentence(choice, estimates),
        *(_by_country(differences, paradigm, sites) for paradigm in personalized),
        _recalibrated(differences, sites[0]),
        _highest(estimates),
        f"Values are {over if n_seeds > 1 else 'of one seed (patient split and initial weights)'}; "
        f"in brackets 95 % intervals of a bootstrap that draws the test patients of each "
        f"{sites[0]}. {_adjusted(differences)}They tell how far other test patients would "
        f"move the numbers, not what other training patients would.",
    ]
    return [line for line in lines if line]


def _adjusted(differences: pd.DataFrame) -> str:
    """How intervals and p of differences are adjusted."""
    if not (differences["role"] == PRIMARY).any():
        return "Comparisons are exploratory, with intervals and p adjusted by Holm's method. "
    return (
        "Intervals and p of primary comparisons are simultaneous; all other comparisons are "
        "exploratory, adjusted by Holm's method. "
    )


def _compared(differences: pd.DataFrame, paradigm: str, reference: str) -> pd.DataFrame:
    """Return what is known of the differences between two paradigms."""
    rows = (differences["paradigm"] == paradigm) & (differences["reference"] == reference)
    return differences[rows].dropna(subset=["difference"])


def _against(
    pooled: pd.DataFrame, paradigm: str, reference: str, margins: Mapping[str, float]
) -> str:
    """Return what one paradigm gains over another: the primary strategy, and the verdicts of
    all."""
    own = _compared(pooled, paradigm, reference)
    if own.empty:
        return ""
    first = own.sort_values("role", key=lambda role: role != PRIMARY, kind="stable").iloc[0]
    text = verdict_sentence(
        first,
        model_name(paradigm, first["strategy"]),
        _words(reference, str(first["reference_strategy"])),
        margins,
    )
    if len(own) == 1:
        return text
    low, high = own["difference"].min(), own["difference"].max()
    counts = own["verdict"].value_counts()
    said = ", ".join(f"{said} in {counts[said]}" for said in VERDICTS if said in counts)
    span = f"{with_sign(low)} to {with_sign(high)}{f' ({said})' if said else ''}"
    return f"{text[:-1]}; over {len(own)} strategies {span}."


def _words(paradigm: str, strategy: str) -> str:
    """Return a reference within a sentence: "local training", "Federated FedAvg"."""
    if strategy_name(strategy):
        return model_name(paradigm, strategy)
    return f"{paradigm_name(paradigm).lower()} training"


def _by_country(differences: pd.DataFrame, paradigm: str, sites: tuple[str, str]) -> str:
    """In which countries the interval of the gain over federated training excludes 0."""
    rows = differences[
        (differences["metric"] == "roc_auc")
        & (differences["scope"] == "country")
        & (differences["reference"] == "federated")
        & (differences["paradigm"] == paradigm)
    ]
    rows = rows[rows["verdict"].isin(VERDICTS)]
    if rows.empty:
        return ""
    rows = rows[rows["strategy"] == rows["strategy"].iloc[0]]
    name = model_name(paradigm, str(rows["strategy"].iloc[0]))
    parts = [
        f"{said} in {found.sum()}{_names(rows.loc[found, 'country'])}"
        for said, found in ((said, rows["verdict"] == said) for said in VERDICTS)
        if found.any()
    ]
    whose = f"{len(rows)} {sites[1]}" if len(rows) > 1 else f"one {sites[0]}"
    return (
        f"Of the {whose} with at least {MIN_PATIENTS} test patients, {name} is, by ROC-AUC against "
        f"the federated model, {', '.join(parts)}; where nothing differs, about "
        f"{LEVEL * len(rows):.1f} are better or worse by chance."
    )


def _names(countries: Sequence[str] | pd.Series) -> str:
    names = [str(name) for name in countries]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f" ({listed(names[:_NAMED])}{more})" if names else ""


def _recalibrated(differences: pd.DataFrame, site: str) -> str:
    """Return what one intercept per country does to the Brier score, and what is left to
    personalization."""
    rows = differences[(differences["metric"] == "brier") & (differences["scope"] == "pooled")]
    of_intercept = _compared(rows, "recalibrated", "federated")
    if of_intercept.empty:
        return ""
    first = of_intercept.iloc[0]
    text = (
        f"Recalibrating the {model_name('federated', first['strategy'])} model by one intercept "
        f"per {site} changes its Brier score (lower is better) by {signed(first, 4)}"
    )
    alike = (rows["strategy"] == first["strategy"]) & rows["paradigm"].map(is_trained).astype(bool)
    others = rows[alike].dropna(subset=["difference"]).to_dict("records")
    names = {"recalibrated": "that recalibrated model"}
    if first["difference"] > 0:
        # where recalibration does harm, what is better than it may yet be no better than nothing
        names["federated"] = "the federated model itself"
    for reference, name in names.items():
        parts = [
            f"{paradigm_name(row['paradigm']).lower()} {signed(row, 4)}"
            for row in others
            if row["reference"] == reference
        ]
        if parts:
            text += f"; against {name}: {', '.join(parts)}"
    return f"{text}."


def _highest(estimates: pd.DataFrame) -> str:
    own = estimates[estimates["metric"] == "roc_auc"].dropna(subset=["value"])
    own = own[own["paradigm"].map(is_trained).astype(bool)]
    parts = []
    for scope in ("pooled", "macro"):
        rows, measure = own[own["scope"] == scope], f"{SCOPES[scope]} {METRICS['roc_auc'].label}"
        if rows.empty:
            parts.append(f"no model has a {measure}")
        else:
            best = rows.iloc[int(rows["value"].argmax())]
            name = model_name(best["paradigm"], best["strategy"])
            parts.append(f"the highest {measure} is that of {name}, {with_interval(best)}")
    return f"{capitalized('; '.join(parts))}."
