"""The verdict on a difference in words, beside the numbers that it follows from."""

import math
from collections.abc import Mapping

from ms_pfl.evaluation.differences import PRIMARY
from ms_pfl.evaluation.inference import BETTER, EQUIVALENT, INCONCLUSIVE, NO_VERDICT, WORSE
from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.reporting.words import MISSING, Row, p_value, signed

#: Decimals of a difference in each metric; as many as its values where it is not here.
DIGITS = {"brier": 4, "log_loss": 4}


def digits_of(metric: str) -> int:
    """Return the decimals of a difference in a metric."""
    return DIGITS.get(metric, METRICS[metric].digits)


def verdict_cell(row: Row) -> str:
    """Return verdict and p as a cell of a table, a dash where nothing was compared.

    >>> verdict_cell({"verdict": "better", "within_margin": True, "p": 0.0004, "role": "primary"})
    'better, by less than the margin (p <0.001; primary)'
    >>> verdict_cell({"verdict": "inconclusive", "within_margin": False, "p": 0.4, "role": ""})
    'inconclusive (p 0.400)'
    """
    said, p = row["verdict"], p_value(row["p"])
    if not isinstance(said, str) or said == NO_VERDICT:
        return MISSING if p == MISSING else f"p {p}"
    small = ", by less than the margin" if said in (BETTER, WORSE) and row["within_margin"] else ""
    return f"{said}{small} (p {p}{'; primary' if row['role'] == PRIMARY else ''})"


def verdict_sentence(row: Row, model: str, reference: str, margins: Mapping[str, float]) -> str:
    """Return a sentence that says what a difference amounts to, with its interval and p.

    Args:
        row: of the table of :func:`ms_pfl.evaluation.differences.planned_differences`.
        model: the first model in words, as it begins a sentence.
        reference: what it is compared with, in words.
        margins: by metric, the largest difference that does not matter.

    >>> row = {"metric": "roc_auc", "scope": "pooled", "difference": 0.003, "low": -0.001,
    ...     "high": 0.006, "p": 0.2, "verdict": "equivalent", "within_margin": True}
    >>> verdict_sentence(row, "Adaptive", "Federated", {"roc_auc": 0.01})
    'Adaptive and Federated are equivalent: pooled ROC-AUC differs by +0.003 [-0.001, +0.006] \
(p 0.200), within ± 0.01.'
    """
    metric = str(row["metric"])
    digits, label = digits_of(metric), METRICS[metric].label
    found = f"{signed(row, digits)} (p {p_value(row['p'])})"
    measure = f"{row['scope']} {label}"
    margin = margins.get(metric, math.nan)
    said = row["verdict"]
    if said == EQUIVALENT:
        return (
            f"{model} and {reference} are equivalent: {measure} differs by {found}, within "
            f"± {margin:g}."
        )
    if said == INCONCLUSIVE:
        return (
            f"Whether {model} is better or worse than {reference} is inconclusive: {measure} "
            f"differs by {found}."
        )
    if said in (BETTER, WORSE):
        small = f", by less than the margin of {margin:g}" if row["within_margin"] else ""
        return f"{model} is {said} than {reference}{small}: {measure} {found}."
    return f"{model} against {reference}: {measure} differs by {signed(row, digits)}."
