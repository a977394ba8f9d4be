"""The metrics: one row each. Every list, order, label and number of digits derives from the rows.

Calibration follows the hierarchy of Van Calster et al., J Clin Epidemiol 74 (2016): observed over
expected and the intercept ask whether risks are right on average, the slope whether they are spread
too far.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ms_pfl.evaluation.calibration import inside, logit, quantile_bins, recalibrate_columns

Columns = NDArray[np.float64]
Scale = Literal["identity", "logit", "log"]
# Cells worked on at once, so that a chunk of a large test split stays in the cache.
_CELLS_PER_CHUNK = 1_000_000
#: How values of rows of several countries come together.
SCOPES = {
    "pooled": "pooled",
    "macro": "macro",
    "weighted": "size-weighted",
    "country": "by country",
}


@dataclass(frozen=True)
class Weights:
    """How much each row weighs, in each column.

    ``values``: at least 0, shape (patients, columns), column 0 all 1; ``patients``: the row of
    ``values`` that belongs to each row, shape (rows,).
    """

    values: Columns
    patients: NDArray[np.intp]

    @classmethod
    def of_one(cls, rows: int) -> Weights:
        """Return weights of 1, in one column."""
        return cls(np.ones((1, 1)), np.zeros(rows, dtype=np.intp))

    def sums(self, values: NDArray[np.floating]) -> Columns:
        """Return weighted sums over rows, shape (k, columns), of values of shape (k, rows).

        Patients are added up first, because all rows of one have the same weight.
        """
        n = len(self.values)
        by_patient = np.array([np.bincount(self.patients, own, minlength=n) for own in values])
        return np.asarray(by_patient @ self.values, dtype=np.float64)

    @cached_property
    def total(self) -> Columns:
        """The weight of all rows, shape (columns,)."""
        return np.bincount(self.patients, minlength=len(self.values)) @ self.values


@dataclass(frozen=True)
class Group:
    """The rows that a metric is worked out on.

    ``labels``: 0 or 1, shape (rows,); ``risks``: of label 1, shape (rows,). What several metrics
    need is worked out once.
    """

    labels: NDArray[np.integer]
    risks: NDArray[np.float64]
    weights: Weights

    def mean(self, values: NDArray[np.floating]) -> Columns:
        """Return the weighted mean over rows, shape (columns,); NaN where nothing has weight."""
        return _ratio(self.weights.sums(values[None])[0], self.weights.total)

    @cached_property
    def ranks(self) -> tuple[Columns, Columns]:
        """ROC-AUC and average precision."""
        return rank_metrics(self.labels, self.risks, self.weights.values, self.weights.patients)

    @cached_property
    def recalibration(self) -> tuple[Columns, Columns]:
        """Calibration intercept and slope."""
        weights = self.weights
        return recalibrate_columns(self.labels, logit(self.risks), weights.values, weights.patients)


def _ratio(above: Columns, below: Columns) -> Columns:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / below, np.nan)


def rank_metrics(
    labels: NDArray[np.integer],
    scores: NDArray[np.floating],
    weights: NDArray[np.floating],
    clusters: NDArray[np.intp],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Return ROC-AUC and average precision of weighted rows, for many weightings at once.

    With weights :math:`w`, positives :math:`i` and negatives :math:`j`:
    ROC-AUC :math:`= \sum_i w_i (N_{<i} + N_{\le i}) / (2 P N)`, where :math:`N_{<i}` is the weight
    of the negatives that score below :math:`i`; average precision
    :math:`= \sum_i w_i \frac{P_{\ge i}}{P_{\ge i} + N_{\ge i}} / P`. Whole weights give what
    repeating rows would give. Average precision is not interpolated, which would flatter the model
    (Davis and Goadrich, ICML 2006).

    Args:
        labels: 0 or 1, shape (rows,).
        scores: shape (rows,).
        weights: at least 0, shape (clusters, columns).
        clusters: the row of ``weights`` that belongs to each row, shape (rows,).

    Returns:
        Both of shape (columns,); NaN where only one class has weight.

    >>> y, s = np.array([0, 1, 1]), np.array([0.2, 0.1, 0.9])
    >>> w = np.array([[1, 1, 2], [1, 1, 0], [1, 3, 1]])
    >>> roc, pr = rank_metrics(y, s, w, np.arange(3))
    >>> roc.tolist(), pr.round(4).tolist()
    ([0.5, 0.75, 1.0], [0.8333, 0.95, 1.0])
    """
    columns = weights.shape[1]
    roc, pr = np.full(columns, np.nan), np.full(columns, np.nan)
    order = np.argsort(scores, kind="stable")
    positive = labels[order] > 0
    positives, negatives = order[positive], order[~positive]
    if not len(positives) or not len(negatives):
        return roc, pr
    # for each positive: how many negatives score below, how many not above, and the first tie
    lower = np.searchsorted(scores[negatives], scores[positives], "left")
    upper = np.searchsorted(scores[negatives], scores[positives], "right")
    first = np.searchsorted(scores[positives], scores[positives], "left")
    positives, negatives = clusters[positives], clusters[negatives]
    step = max(1, _CELLS_PER_CHUNK // len(order))
    for start in range(0, columns, step):
        chunk = slice(start, start + step)
        part = weights[:, chunk].astype(np.float64)
        own = part[positives]
        below, ranked = _running_sum(part[negatives]), _running_sum(own)
        n_positive, n_negative = ranked[-1], below[-1]
        under = below[lower]
        won = (own * (under + below[upper])).sum(axis=0)
        true_positives = n_positive - ranked[first]
        with np.errstate(invalid="ignore"):
            precision = true_positives / (true_positives + (n_negative - under))
        # a positive without weight above which nothing has weight: 0 / 0, and it does not count
        hits = np.where(own > 0, own * precision, 0.0).sum(axis=0)
        pairs = n_positive * n_negative
        both = pairs > 0
        np.divide(won / 2, pairs, out=roc[chunk], where=both)
        np.divide(hits, n_positive, out=pr[chunk], where=both)
    return roc, pr


def _running_sum(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return sums over the first 0, 1, 2 … rows; shape (rows + 1, columns)."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]))
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums


def brier(group: Group) -> Columns:
    r"""Return the Brier score, the mean of :math:`(p - y)^2`.

    It is defined for a single class too, and a size-weighted mean over countries equals the
    pooled value.
    """
    return group.mean((group.risks - group.labels) ** 2)


def log_loss(group: Group) -> Columns:
    r"""Return the mean of :math:`-y \ln p - (1 - y) \ln(1 - p)`, in nats."""
    p = inside(group.risks)
    return group.mean(-np.where(group.labels == 1, np.log(p), np.log1p(-p)))


def calibration_error(group: Group) -> Columns:
    r"""Return the expected calibration error over ten bins of equally many episodes.

    :math:`\sum_b \frac{n_b}{n} |\bar y_b - \bar p_b|` (Naeini et al., AAAI 2015). It is never below
    0, so chance alone makes it positive, and resampling more so: it comes without an interval.
    """
    bin_of = quantile_bins(group.risks)
    gap = group.labels - group.risks
    apart = np.zeros((int(bin_of.max(initial=-1)) + 1, len(gap)))
    apart[bin_of, np.arange(len(gap))] = gap
    if not len(apart):
        return np.full(group.weights.values.shape[1], np.nan)
    return _ratio(np.abs(group.weights.sums(apart)).sum(axis=0), group.weights.total)


def observed_expected(group: Group) -> Columns:
    """Return observed over expected outcomes, ``sum y / sum p``."""
    return _ratio(*group.weights.sums(np.stack([group.labels, group.risks])))


@dataclass(frozen=True)
class Metric:
    """One metric.

    ``label``: in full words; ``digits``: decimals of a table; ``best``: whether high or low values
    are better, or the value that is right; ``needs_both_classes``: undefined where only one occurs;
    ``over_sites``: whether its means over countries are reported (of slopes few are finite, of
    calibration errors most is noise); ``interval``: whether a bootstrap interval is reported;
    ``between``: the scale on which countries are summarized by random effects, None where they are
    not; ``value``: its value in every column of the group's weights, NaN where undefined.
    """

    name: str
    label: str
    value: Callable[[Group], Columns] = field(repr=False)
    digits: int = 3
    best: float | Literal["high", "low"] = "high"
    needs_both_classes: bool = False
    over_sites: bool = True
    interval: bool = True
    between: Scale | None = None

    @property
    def sign(self) -> float:
        """1 where high values are better, -1 where low ones are; NaN where one value is right."""
        return {"high": 1.0, "low": -1.0}.get(str(self.best), math.nan)

    def plain(self, labels: NDArray[np.integer], risks: NDArray[np.floating]) -> float:
        """Return the value of rows that all weigh 1; NaN where undefined.

        Args:
            labels: 0 or 1, shape (episodes,).
            risks: of label 1, shape (episodes,).

        >>> METRICS["roc_auc"].plain(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
        0.75
        >>> round(METRICS["brier"].plain(np.array([0, 1]), np.array([0.2, 0.6])), 4)
        0.1
        >>> a = METRICS["calibration_intercept"].plain(np.array([0, 1, 1, 1]), np.full(4, 0.5))
        >>> round(a, 4)
        1.0986
        """
        group = Group(labels, risks.astype(np.float64), Weights.of_one(len(labels)))
        return float(self.value(group)[0])


#: By name, in the order of the tables.
METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(
            "roc_auc", "ROC-AUC", lambda group: group.ranks[0], needs_both_classes=True,
            between="logit",
        ),
        Metric("pr_auc", "PR-AUC", lambda group: group.ranks[1], needs_both_classes=True),
        Metric("brier", "Brier score", brier, best="low", between="identity"),
        Metric("log_loss", "Log-loss", log_loss, best="low", between="identity"),
        Metric(
            "calibration_error", "Calibration error", calibration_error, best=0.0,
            over_sites=False, interval=False,
        ),
        Metric(
            "calibration_intercept", "Calibration intercept", lambda group: group.recalibration[0],
            digits=2, best=0.0, needs_both_classes=True, over_sites=False,
        ),
        Metric(
            "calibration_slope", "Calibration slope", lambda group: group.recalibration[1],
            digits=2, best=1.0, needs_both_classes=True, over_sites=False,
        ),
        Metric(
            "observed_expected", "Observed / expected", observed_expected,
            digits=2, best=1.0, over_sites=False, between="log",
        ),
    )
}  # fmt: skip


def ranking() -> tuple[str, ...]:
    """Return the names of the metrics that are better the higher they are."""
    return tuple(name for name, metric in METRICS.items() if metric.best == "high")
