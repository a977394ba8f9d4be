"""The paired patient-cluster bootstrap.

Episodes of a patient are not independent, so patients are drawn, with all their episodes; within
each country, so that its size stays. One draw serves every model and seed that is compared: what
the models share cancels in their differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_ROWS_A_CHUNK = 4_000_000


@dataclass(frozen=True)
class Resamples:
    """How often each patient was drawn.

    ``patients``: (country, patient_id) of each column; ``counts``: shape (replicates, patients),
    each row adding up to the number of patients of every country.
    """

    patients: pd.MultiIndex
    counts: NDArray[np.uint8]

    def weights(self, rows: pd.DataFrame) -> NDArray[np.uint8]:
        """The weight of each row of a table in each replicate, shape (replicates, rows).

        Args:
            rows: with country and patient_id, of patients that were drawn from.
        """
        keys = pd.MultiIndex.from_frame(rows[["country", "patient_id"]])
        columns = self.patients.get_indexer(keys)
        if (columns < 0).any():
            raise KeyError(f"patient {keys[int((columns < 0).argmax())]} was not drawn from")
        return self.counts[:, columns]


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
    counts = np.empty((replicates, len(patients)), dtype=np.uint8)
    for index in patients.groupby("country", sort=True).indices.values():
        n = len(index)
        drawn = random.multinomial(n, np.full(n, 1 / n), size=replicates)
        counts[:, index] = np.minimum(drawn, np.iinfo(np.uint8).max)
    return Resamples(pd.MultiIndex.from_frame(patients), counts)


def weighted_roc_auc(
    labels: NDArray[np.integer], scores: NDArray[np.floating], weights: NDArray[np.integer]
) -> NDArray[np.float64]:
    """ROC-AUC of rows that count several times (or not), for many weightings at once.

    ``sum_g P_g (N_<g + N_g / 2) / (P N)`` over groups ``g`` of equal scores, with ``P_g`` and
    ``N_g`` the weights of their positives and negatives: what repeating rows would give.

    Args:
        labels: 0 or 1, shape (rows,).
        scores: shape (rows,).
        weights: whole numbers, shape (replicates, rows).

    Returns:
        Shape (replicates,); NaN where only one class has weight.

    >>> y, s = np.array([0, 1, 1]), np.array([0.2, 0.1, 0.9])
    >>> weighted_roc_auc(y, s, np.array([[1, 1, 1], [1, 1, 3], [2, 0, 1]])).tolist()
    [0.5, 0.75, 1.0]
    """
    order = np.argsort(scores, kind="stable")
    ranked, positive = scores[order], labels[order] > 0
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    step = max(1, _ROWS_A_CHUNK // max(len(order), 1))
    parts = []
    for first in range(0, len(weights), step):
        own = weights[first : first + step, order].astype(np.float64)
        positives = np.add.reduceat(own * positive, starts, axis=1)
        negatives = np.add.reduceat(own * ~positive, starts, axis=1)
        below = np.cumsum(negatives, axis=1) - negatives / 2
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        won = (positives * below).sum(axis=1)
        parts.append(np.divide(won, pairs, out=np.full(len(own), np.nan), where=pairs > 0))
    return np.concatenate(parts)


@dataclass(frozen=True)
class Replicates:
    """ROC-AUC of one fit, shape (1 + replicates,) each: first the observed value.

    ``by_country`` holds the countries with both classes as observed; NaN in a replicate in which
    one has lost a class.
    """

    pooled: NDArray[np.float64]
    by_country: dict[str, NDArray[np.float64]]


def replicate_roc_auc(test: pd.DataFrame, resamples: Resamples) -> Replicates:
    """ROC-AUC of one fit, pooled and by country, as observed and in each replicate.

    Args:
        test: country, patient_id, label, probability of the fit's test episodes.
        resamples: of the patients.
    """
    weights = np.vstack([np.ones((1, len(test)), np.uint8), resamples.weights(test)])
    labels, scores = test["label"].to_numpy(), test["probability"].to_numpy()
    by_country = {}
    for country, rows in test.groupby("country", sort=True).indices.items():
        values = weighted_roc_auc(labels[rows], scores[rows], weights[:, rows])
        if not np.isnan(values[0]):
            by_country[str(country)] = values
    return Replicates(weighted_roc_auc(labels, scores, weights), by_country)


def mean_over(
    countries: Sequence[str], values: Mapping[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """The macro mean over a fixed set of countries, replicate by replicate.

    A country that has lost a class in a replicate is left out of that one; NaN where all have.

    Raises:
        ValueError: there is no country.
    """
    if not countries:
        raise ValueError("a mean over countries needs one")
    stacked = np.array([values[country] for country in countries])
    known = ~np.isnan(stacked)
    total, n = np.where(known, stacked, 0.0).sum(axis=0), known.sum(axis=0)
    return np.divide(total, n, out=np.full(stacked.shape[1:], np.nan), where=n > 0)
