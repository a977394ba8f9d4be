"""Would acting on the predictions do more good than harm? Decision curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ms_pfl.evaluation.bootstrap import Draws, intervals
from ms_pfl.evaluation.evaluate import PARADIGM, evaluate
from ms_pfl.evaluation.metrics import Columns, Group, Metric

TREAT_ALL = ("treat_all", "")


def net_benefit(threshold: float) -> Metric:
    r"""Return net benefit at a threshold in (0, 1) as a metric.

    :math:`TP/n - FP/n \cdot t/(1-t)` (Vickers and Elkin, Med Decis Making 26, 2006). Episodes with
    a risk of at least ``t`` are acted on; the odds of the threshold weigh an unnecessary act
    against a missed one. Acting on nobody has the value 0; at most it is the share of positives.

    >>> p = np.array([0.1, 0.4, 0.6, 0.9])
    >>> round(net_benefit(0.5).plain(np.array([0, 1, 0, 1]), p), 4)
    0.0
    """
    odds = threshold / (1 - threshold)

    def value(group: Group) -> Columns:
        return group.mean(np.where(group.labels > 0, 1.0, -odds) * (group.risks >= threshold))

    return Metric(f"net_benefit_{threshold}", f"Net benefit at {threshold}", value)


def decision_curves(test: pd.DataFrame, thresholds: Sequence[float], draws: Draws) -> pd.DataFrame:
    """Return net benefit of every model over thresholds, with intervals, and of treating everybody.

    Args:
        test: the rows of :func:`ms_pfl.evaluation.checks.check_predictions`.
        thresholds: risks from which on one would act, each in (0, 1).
        draws: of the patients.

    Returns:
        paradigm (``treat_all`` for acting on everybody), strategy, threshold, net_benefit (mean
        over seeds), low, high (95 % percentile interval). Treating nobody is 0 everywhere.
    """
    # the rows of a seed are the same for all models
    first = (test[list(PARADIGM)] == test[list(PARADIGM)].iloc[0]).all(axis=1)
    everybody = test[first].assign(**dict(zip(PARADIGM, TREAT_ALL, strict=True)), probability=1.0)
    found = evaluate(
        pd.concat([test, everybody], ignore_index=True), ("pooled",), draws,
        metrics=[net_benefit(float(threshold)) for threshold in thresholds],
    )  # fmt: skip
    records = []
    for model, values in found.values.items():
        drawn = np.array(list(values.values()))
        for threshold, own, bounds in zip(thresholds, drawn, intervals(drawn), strict=True):
            records.append((*model, float(threshold), float(own[0]), *bounds))
    columns = [*PARADIGM, "threshold", "net_benefit", "low", "high"]
    return pd.DataFrame.from_records(records, columns=columns)
