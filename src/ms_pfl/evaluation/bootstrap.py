"""The paired patient-cluster bootstrap.

Episodes of a patient are not independent, so patients are drawn, with all their episodes (Field
and Welsh, JRSS B 69, 2007); within each country, so that its size stays. One draw serves every
model and seed that is compared: what the models share cancels in their differences.

Drawing a patient three times is giving its rows the weight 3, so a replicate is a column of weights
and nothing is copied. Column 0 of every array here is what was observed: all weights are 1.

In a stratum of n patients, n draws vary too little: by (n - 1) / n, which in a study of many small
countries adds up. So n - 1 are drawn and weigh n / (n - 1) each (Rao and Wu, JASA 83, 1988). The
weight of a country's only patient is always 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: Patients from which on a country can tell how much its patients vary.
MIN_PATIENTS = 10
# Cells worked on at once, so that a chunk of a large test split stays in the cache.
_CELLS_A_CHUNK = 1_000_000


@dataclass(frozen=True)
class Resamples:
    """How much each patient weighs.

    ``patients``: (country, patient_id) of each row of ``weights``, sorted; ``weights``: shape
    (patients, 1 + replicates); column 0 is 1 for everybody, and every other column adds up to the
    number of patients of each country.
    """

    patients: pd.MultiIndex
    weights: NDArray[np.float32]

    def n_patients(self) -> dict[str, int]:
        """How many patients each country is drawn from."""
        sizes = self.patients.get_level_values(0).value_counts()
        return {str(country): int(n) for country, n in sizes.items()}

    def positions(self, rows: pd.DataFrame) -> NDArray[np.intp]:
        """The row of ``weights`` that belongs to each row of a table.

        Args:
            rows: with country and patient_id, of patients that were drawn from.

        Raises:
            KeyError: a patient was not drawn from.
        """
        keys = pd.MultiIndex.from_frame(rows[["country", "patient_id"]])
        found = self.patients.get_indexer(keys)
        if (found < 0).any():
            raise KeyError(f"patient {keys[int((found < 0).argmax())]} was not drawn from")
        return found


def draw_patients(rows: pd.DataFrame, replicates: int, seed: int) -> Resamples:
    """Draw patients with replacement within each country.

    Args:
        rows: country and patient_id of everybody, in any number of rows and order.
        replicates: how many draws.
        seed: the same one gives the same draws.
    """
    patients = rows[["country", "patient_id"]].drop_duplicates()
    patients = patients.sort_values(["country", "patient_id"], ignore_index=True)
    random = np.random.default_rng(seed)
    weights = np.ones((len(patients), 1 + replicates), dtype=np.float32)
    for index in patients.groupby("country", sort=True).indices.values():
        n = len(index)
        if n > 1:
            drawn = random.multinomial(n - 1, np.full(n, 1 / n), size=replicates).T
            weights[index, 1:] = drawn * (n / (n - 1))
    return Resamples(pd.MultiIndex.from_frame(patients), weights)


def weighted_rank_metrics(
    labels: NDArray[np.integer],
    scores: NDArray[np.floating],
    weights: NDArray[np.floating],
    clusters: NDArray[np.intp] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""ROC-AUC and average precision of weighted rows, for many weightings at once.

    With weights :math:`w`, positives :math:`i` and negatives :math:`j`:
    ROC-AUC :math:`= \sum_i w_i (N_{<i} + N_{\le i}) / (2 P N)`, where :math:`N_{<i}` is the weight
    of the negatives that score below :math:`i`; average precision
    :math:`= \sum_i w_i \frac{P_{\ge i}}{P_{\ge i} + N_{\ge i}} / P`. Whole weights give what
    repeating rows would give.

    Args:
        labels: 0 or 1, shape (rows,).
        scores: shape (rows,).
        weights: at least 0, shape (clusters, columns).
        clusters: the row of ``weights`` that belongs to each row; its own where left out.

    Returns:
        Both of shape (columns,); NaN where only one class has weight.

    >>> y, s = np.array([0, 1, 1]), np.array([0.2, 0.1, 0.9])
    >>> w = np.array([[1, 1, 2], [1, 1, 0], [1, 3, 1]])
    >>> roc, pr = weighted_rank_metrics(y, s, w)
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
    if clusters is not None:
        positives, negatives = clusters[positives], clusters[negatives]
    step = max(1, _CELLS_A_CHUNK // len(order))
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
    """Sums over the first 0, 1, 2 … rows; shape (rows + 1, columns)."""
    sums = np.zeros((len(weights) + 1, weights.shape[1]))
    np.cumsum(weights, axis=0, out=sums[1:])
    return sums


@dataclass(frozen=True)
class StandIn:
    """Where a country's value in each replicate comes from.

    ``columns``: shape (1 + replicates,), the replicate that stands in for each; ``donor``: the
    country whose spread is borrowed, or None; ``scale`` of the borrowed spread.
    """

    columns: NDArray[np.intp]
    donor: str | None = None
    scale: float = 1.0

    def apply(
        self, own: NDArray[np.float64], donor: NDArray[np.float64] | None = None
    ) -> NDArray[np.float64]:
        """The values that count, shape (1 + replicates,).

        Args:
            own: of the country in each replicate.
            donor: those of the donor that count, where there is one.

        >>> own, donor = np.array([0.8, 1.0, 0.5]), np.array([0.7, 0.6, 0.9])
        >>> StandIn(np.array([0, 1, 1])).apply(own).tolist()
        [0.8, 1.0, 1.0]
        >>> StandIn(np.array([0, 2, 1]), "Belgium", 2.0).apply(own, donor).round(1).tolist()
        [0.8, 1.2, 0.6]
        """
        if donor is None:
            return own[self.columns]
        return np.asarray(own[0] + self.scale * (donor[self.columns] - donor[0]))


def stand_ins(
    defined: dict[str, NDArray[np.bool_]], patients: dict[str, int], seed: int
) -> dict[str, StandIn]:
    """Decide where each country's values come from, the same for all models (and all seeds).

    A country loses a class in some replicates. To leave it out there would change what a mean over
    countries is a mean of (and shift it); so it takes the values that it has in another replicate.

    A country with fewer than ``MIN_PATIENTS`` cannot tell how much its patients vary (one patient
    says: not at all). It takes its spread from a larger country, drawn at random: that country's
    deviations, in other replicates, times the square root of how many times as many patients it
    has, as the spread of a mean would have it. Without a larger country it has to do with its own.

    Args:
        defined: for each country with a value as observed, in which replicates it has one, shape
            (1 + replicates,).
        patients: how many patients each country is drawn from.
        seed: where the choices come from.
    """
    names = sorted(patients)
    large = [name for name in names if patients[name] >= MIN_PATIENTS]
    found = {}
    for i, country in enumerate(names):
        if country not in defined:
            continue
        # of the country alone, so that it chooses alike in every seed
        random = np.random.default_rng([seed, i])
        lenders = [large[k] for k in random.permutation(len(large)) if large[k] in defined]
        n = len(defined[country])
        if patients[country] < MIN_PATIENTS and lenders:
            columns = np.r_[0, 1 + random.permutation(n - 1)]
            ratio = patients[lenders[0]] / patients[country]
            found[country] = StandIn(columns, lenders[0], float(np.sqrt(ratio)))
            continue
        columns = np.arange(n)
        known = np.flatnonzero(defined[country][1:]) + 1
        lost = np.flatnonzero(~defined[country])
        columns[lost] = known[random.integers(len(known), size=len(lost))] if len(known) else 0
        found[country] = StandIn(columns)
    return found
