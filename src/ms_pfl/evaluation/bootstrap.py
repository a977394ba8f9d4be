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

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

#: Patients from which on a country can tell how much its patients vary.
MIN_PATIENTS = 10


@dataclass(frozen=True)
class Draws:
    """How much each patient weighs: one draw of patients per replicate, for all that is compared.

    ``patients``: (country, patient_id) of each row of ``weights``, sorted; ``weights``: shape
    (patients, 1 + replicates); column 0 is 1 for everybody, and every other column adds up to the
    number of patients of each country. ``seed``: where the draws come from.
    """

    patients: pd.MultiIndex
    weights: NDArray[np.float32]
    seed: int = 0

    def n_patients(self) -> dict[str, int]:
        """How many patients each country is drawn from."""
        sizes = self.patients.get_level_values(0).value_counts()
        return {str(country): int(n) for country, n in sizes.items()}

    def positions(self, rows: pd.DataFrame) -> NDArray[np.intp]:
        """Return the row of ``weights`` that belongs to each row of a table.

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


def draw_patients(rows: pd.DataFrame, replicates: int, seed: int) -> Draws:
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
    return Draws(pd.MultiIndex.from_frame(patients), weights, seed)


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
        """Return the values that count, shape (1 + replicates,).

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
            scale = float(np.sqrt(patients[lenders[0]] / patients[country]))
            found[country] = StandIn(columns, lenders[0], scale)
        else:
            columns = np.arange(n)
            known = np.flatnonzero(defined[country][1:]) + 1
            lost = np.flatnonzero(~defined[country])
            columns[lost] = known[random.integers(len(known), size=len(lost))] if len(known) else 0
            found[country] = StandIn(columns)
    return found


def intervals(drawn: NDArray[np.float64], level: float = 0.95) -> NDArray[np.float64]:
    """Return the percentile intervals of replicates, columns 1 and on.

    Args:
        drawn: shape (k, 1 + replicates); a replicate that is NaN does not count.
        level: of confidence.

    Returns:
        Lower and upper bounds, shape (k, 2); NaN where no replicate is defined.

    >>> intervals(np.r_[99.0, np.arange(101.0)][None]).round(6).tolist()
    [[2.5, 97.5]]
    """
    tail = 50 * (1 - level)
    bounds = np.full((len(drawn), 2), np.nan)
    replicates = drawn[:, 1:]
    whole = ~np.isnan(replicates).any(axis=1)
    if whole.any() and replicates.shape[1]:
        bounds[whole] = np.percentile(replicates[whole], [tail, 100 - tail], axis=1).T
    for i in np.flatnonzero(~whole):
        known = replicates[i][~np.isnan(replicates[i])]
        if len(known):
            bounds[i] = np.percentile(known, [tail, 100 - tail])
    return bounds
