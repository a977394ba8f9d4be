"""The result in a few plain sentences, made from the tables of the comparison."""

import math
from collections.abc import Sequence

import pandas as pd

from ms_pfl.evaluation.bootstrap import MIN_PATIENTS
from ms_pfl.evaluation.calibration import RECALIBRATED
from ms_pfl.evaluation.metrics import METRICS, SCOPES
from ms_pfl.names import listed
from ms_pfl.paradigms import model_name, paradigm_name, strategy_name
from ms_pfl.reporting.words import capitalized, p_value, paradigms_in_order, signed, with_interval

#: A difference is called one where its adjusted p, or its 95 % interval, says so.
LEVEL = 0.05
_NAMED = 6  # so many countries are named; more are counted


def headline(
    estimates: pd.DataFrame,
    differences: pd.DataFrame,
    sites: tuple[str, str],
    n_seeds: int,
    replicates: int | None = None,
) -> list[str]:
    """Say which models do best, and what personalization adds to federated training, how surely.

    No difference is called one unless its adjusted p is below ``LEVEL``.

    Args:
        estimates: the table of :func:`ms_pfl.evaluation.evaluate.add_intervals`.
        differences: the table of :func:`ms_pfl.evaluation.evaluate.planned_differences`.
        sites: what the data call a country, and several.
        n_seeds: how many seeds the values are means of.
        replicates: of the bootstrap; where they are too few to tell models apart, it says so.

    Returns:
        One paragraph an entry, the personalization first; the last says what the numbers mean.
    """
    pooled = differences[(differences["metric"] == "roc_auc") & (differences["scope"] == "pooled")]
    trained = pooled[~pooled["paradigm"].isin(RECALIBRATED)]
    personalized = paradigms_in_order(trained[trained["reference"] == "federated"])
    over = f"means over {n_seeds} seeds (patient splits and initial weights)"
    lines = [
        *(_personal(pooled, paradigm) for paradigm in personalized),
        *(_by_country(differences, paradigm, sites) for paradigm in personalized),
        *(_against(pooled, reference) for reference in ("local", "centralized")),
        _recalibrated(differences, sites[0]),
        _highest(estimates),
        "" if replicates is None else _too_few_draws(trained, replicates),
        f"Values are {over if n_seeds > 1 else 'of one seed (patient split and initial weights)'}; "
        f"in brackets 95 % intervals of a bootstrap that draws the test patients of each "
        f"{sites[0]}, and p adjusted by Holm's method. They tell how far other test patients would "
        f"move the numbers, not what other training patients would.",
    ]
    return [line for line in lines if line]


def _compared(differences: pd.DataFrame, paradigm: str, reference: str) -> pd.DataFrame:
    """What is known of the differences between two paradigms."""
    rows = (differences["paradigm"] == paradigm) & (differences["reference"] == reference)
    return differences[rows].dropna(subset=["difference"])


def _personal(pooled: pd.DataFrame, paradigm: str) -> str:
    """What a personalization adds to federated training of the same strategy, over strategies."""
    own = _compared(pooled, paradigm, "federated")
    if own.empty:
        return ""
    first, n = own.iloc[0], len(own)
    sure = own.loc[own["p_holm"] < LEVEL, "difference"]
    up, down = int((sure > 0).sum()), int((sure < 0).sum())
    plain = "plain federated training"
    verdicts = {
        (False, False): f"is not told apart from {plain}",
        (True, False): f"does better than {plain}{_in_so_many(up, n)}",
        (False, True): f"does worse than {plain}{_in_so_many(down, n)}",
        (True, True): f"does better than {plain} in {up} and worse in {down} of {n}",
    }
    text = (
        f"{paradigm_name(paradigm)} {verdicts[up > 0, down > 0]}: pooled ROC-AUC "
        f"{signed(first)} with {strategy_name(first['strategy'])} (p {p_value(first['p_holm'])})"
    )
    if n > 1:
        low, high = own["difference"].min(), own["difference"].max()
        text += f", {low:+.3f} to {high:+.3f} over {n} strategies"
    return f"{text}."


def _too_few_draws(trained: pd.DataFrame, replicates: int) -> str:
    """Whether Holm's method leaves p below ``LEVEL`` within reach of so many replicates.

    The smallest p of a bootstrap is 2 / (replicates + 1), and the smallest of a family's p is
    multiplied by the size of the family.
    """
    family = max(trained.dropna(subset=["p"])["reference"].value_counts(), default=0)
    lowest = 2 * family / (replicates + 1)
    if lowest < LEVEL:
        return ""
    needed = math.floor(2 * family / LEVEL + 1e-9)  # of which one more gives LEVEL itself
    return (
        f"Too few draws to tell models apart: with {replicates:,} draws, where {family} models are "
        f"compared with the same one, no adjusted p can be below {lowest:.3f}; set "
        f"comparison.replicates to at least {needed:,}."
    )


def _in_so_many(some: int, n: int) -> str:
    return "" if some == n else f" in {some} of {n} strategies"


def _by_country(differences: pd.DataFrame, paradigm: str, sites: tuple[str, str]) -> str:
    """In which countries the interval of the gain over federated training excludes 0."""
    rows = differences[
        (differences["metric"] == "roc_auc")
        & (differences["scope"] == "country")
        & (differences["reference"] == "federated")
        & (differences["paradigm"] == paradigm)
    ].dropna(subset=["low"])
    if rows.empty:
        return ""
    rows = rows[rows["strategy"] == rows["strategy"].iloc[0]]
    name = model_name(paradigm, str(rows["strategy"].iloc[0]))
    parts = [
        f"{direction} 0 in {found.sum()}{_names(rows.loc[found, 'country'])}"
        for direction, found in (("above", rows["low"] > 0), ("below", rows["high"] < 0))
    ]
    whose = f"{len(rows)} {sites[1]}" if len(rows) > 1 else f"one {sites[0]}"
    return (
        f"Of the {whose} with at least {MIN_PATIENTS} test patients, the interval "
        f"of {name}'s gain in ROC-AUC over the federated model lies {' and '.join(parts)}; about "
        f"{LEVEL * len(rows):.1f} would by chance."
    )


def _names(countries: Sequence[str] | pd.Series) -> str:
    names = [str(name) for name in countries]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f" ({listed(names[:_NAMED])}{more})" if names else ""


def _against(pooled: pd.DataFrame, reference: str) -> str:
    """Federated training against local or centralized training, by the first strategy."""
    own = _compared(pooled, "federated", reference)
    if own.empty:
        return ""
    first = own.iloc[0]
    verdict = "does better than" if first["difference"] > 0 else "does worse than"
    if not first["p_holm"] < LEVEL:
        verdict = "is not told apart from"
    return (
        f"{model_name('federated', first['strategy'])} {verdict} {reference} training: pooled "
        f"ROC-AUC {signed(first)} (p {p_value(first['p_holm'])})."
    )


def _recalibrated(differences: pd.DataFrame, site: str) -> str:
    """What an intercept a country does to the Brier score, and what is left to personalization."""
    rows = differences[(differences["metric"] == "brier") & (differences["scope"] == "pooled")]
    of_intercept = _compared(rows, "recalibrated", "federated")
    if of_intercept.empty:
        return ""
    first = of_intercept.iloc[0]
    text = (
        f"Recalibrating the {model_name('federated', first['strategy'])} model by one intercept a "
        f"{site} changes its Brier score (lower is better) by {signed(first, 4)}"
    )
    alike = (rows["strategy"] == first["strategy"]) & ~rows["paradigm"].isin(RECALIBRATED)
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
    own = own[~own["paradigm"].isin(RECALIBRATED)]
    parts = []
    for scope in ("pooled", "macro"):
        rows, measure = own[own["scope"] == scope], f"{SCOPES[scope]} {METRICS['roc_auc'].label}"
        if rows.empty:
            parts.append(f"no model has a {measure}")
        else:
            best = rows.iloc[int(rows["value"].argmax())]
            name = model_name(best["paradigm"], best["strategy"])
            parts.append(f"the highest {measure} is {name}'s, {with_interval(best)}")
    return f"{capitalized('; '.join(parts))}."
