"""The result in a few plain sentences, made from the metrics."""

from __future__ import annotations

import pandas as pd

from ms_pfl.evaluation.comparison import gains
from ms_pfl.evaluation.names import METRICS, SCOPES, model_name
from ms_pfl.reporting.tables import format_value


def headline(metrics: pd.DataFrame, summary: pd.DataFrame) -> list[str]:
    """Say which model has the highest ROC-AUC, pooled and macro, and by how much.

    Differences are taken seed by seed on the same test rows, then averaged; ± is their
    standard deviation over seeds. No test is made, so no sentence says "significant" or
    "better": the numbers are what they are on these test rows.

    Args:
        metrics: the table of :func:`ms_pfl.evaluation.scoring.score`.
        summary: the table of :func:`ms_pfl.evaluation.comparison.summarize`.

    Returns:
        One sentence or two an entry; the last says what ± means.
    """
    lines = [
        line for scope in ("pooled", "macro") for line in _scope_lines(metrics, summary, scope)
    ]
    seeds = metrics["seed"].nunique()
    if seeds > 1:
        lines.append(
            f"± is the standard deviation over {seeds} seeds, which vary the patient split and the "
            f"initial weights. It is not a confidence interval, and no significance test was made."
        )
    else:
        lines.append(
            "One seed only: nothing here says how far another split or other initial weights "
            "would move these numbers."
        )
    return lines


def _scope_lines(metrics: pd.DataFrame, summary: pd.DataFrame, scope: str) -> list[str]:
    own = summary[(summary["metric"] == "roc_auc") & (summary["scope"] == scope)]
    own = own.dropna(subset=["mean"])
    what = f"{SCOPES[scope]} {METRICS['roc_auc']}"
    if own.empty:
        return [f"No model has a {what}: the test episodes are all of one class."]
    best = own.iloc[int(own["mean"].argmax())]
    name = model_name(best["paradigm"], best["strategy"])
    parts = [
        text
        for reference in ("local", "federated")
        if (text := _difference(metrics, own, best, reference, scope)) is not None
    ]
    first = f"{name} has the highest {what}: {format_value(best['mean'], best['sd'])}"
    return [f"{first}; {' and '.join(parts)}." if parts else f"{first}."]


def _difference(
    metrics: pd.DataFrame, own: pd.DataFrame, best: pd.Series, reference: str, scope: str
) -> str | None:
    """Word the best model's mean difference from a reference, None where there is none."""
    references = own[own["paradigm"] == reference]
    if references.empty or best["paradigm"] == reference:
        return None
    same = references[references["strategy"] == best["strategy"]]
    # the same strategy where it was trained, else the federated model that comes closest
    against = same.iloc[0] if len(same) else references.iloc[int(references["mean"].argmax())]
    pair = metrics[
        metrics["paradigm"].eq(best["paradigm"]) & metrics["strategy"].eq(best["strategy"])
        | metrics["paradigm"].eq(reference) & metrics["strategy"].eq(against["strategy"])
    ]
    # one strategy's name for both, so that gains() pairs them across strategies too
    difference = gains(pair.assign(strategy="both"), reference, "roc_auc", scope)["gain"].dropna()
    mean, sd = float(difference.mean()), float(difference.std())
    direction = "above" if mean >= 0 else "below"
    name = model_name(reference, str(against["strategy"]))
    return f"{format_value(abs(mean), sd)} {direction} {name}"
