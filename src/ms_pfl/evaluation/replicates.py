"""Every metric of a fit in every replicate of the bootstrap, and their means over seeds.

Arrays have 1 + replicates columns; column 0 is what was observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.evaluation.bootstrap import (
    Resamples,
    StandIn,
    stand_ins,
    weighted_rank_metrics,
)
from ms_pfl.evaluation.calibration import (
    calibration_intercept,
    calibration_slope,
    log_losses,
    logit,
    weighted_recalibration,
)

Columns = NDArray[np.float64]
#: Ranking metrics need both classes; the others need an episode.
RANKING = ("roc_auc", "pr_auc")
LOSSES = ("brier", "log_loss")
CALIBRATION = ("calibration_intercept", "calibration_slope", "observed_expected")


@dataclass(frozen=True)
class HeldOutRows:
    """The test rows of a seed, which all its fits share, with their weights in each replicate.

    ``rows`` are sorted by country; ``countries`` are slices of them. ``weights``: shape (patients,
    columns), and ``patients`` the row of it that belongs to each row. ``both`` and ``some`` say
    where the values of each country come from, of metrics that need both classes and of others
    (:func:`ms_pfl.evaluation.bootstrap.stand_ins`); a country that is not in ``both`` has one class
    as observed.
    """

    rows: pd.DataFrame
    weights: NDArray[np.float32]
    patients: NDArray[np.intp]
    countries: dict[str, slice]
    sizes: dict[str, Columns]
    both: dict[str, StandIn]
    some: dict[str, StandIn]

    @classmethod
    def of(cls, rows: pd.DataFrame, resamples: Resamples, seed: int) -> HeldOutRows:
        """Prepare the rows of a seed.

        Args:
            rows: country, patient_id, label of test episodes, sorted by country.
            resamples: of the patients.
            seed: of the choice of what stands in.
        """
        drawn, patients = np.unique(resamples.positions(rows), return_inverse=True)
        weights = resamples.weights[drawn]
        names = rows["country"].to_numpy(dtype=object)
        starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]])
        ends = [*starts[1:], len(names)]
        countries = {str(names[a]): slice(a, b) for a, b in zip(starts, ends, strict=True)}
        labels = rows["label"].to_numpy()
        sizes: dict[str, Columns] = {}
        both: dict[str, NDArray[np.bool_]] = {}
        some: dict[str, NDArray[np.bool_]] = {}
        for country, part in countries.items():
            members, own = np.unique(patients[part], return_inverse=True)
            n = np.bincount(own)
            positive = np.bincount(own, labels[part])
            # weights of each class apart, so that rounding cannot leave a trace of one
            own_weights = weights[members].astype(np.float64)
            with_class = np.stack([positive, n - positive]) @ own_weights > 0
            sizes[country] = n @ own_weights
            some[country] = np.asarray(sizes[country] > 0)
            if with_class[:, 0].all():
                both[country] = np.asarray(with_class.all(axis=0))
        drawn_from = resamples.n_patients()
        return cls(
            rows,
            weights,
            patients,
            countries,
            sizes,
            stand_ins(both, drawn_from, seed),
            stand_ins(some, drawn_from, seed),
        )

    def of_country(self, country: str) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
        """The weights of a country's patients, and the row of them that belongs to each row."""
        members, own = np.unique(self.patients[self.countries[country]], return_inverse=True)
        return self.weights[members], own

    def sums(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Weighted sums over rows in every replicate.

        Args:
            values: shape (k, rows).

        Returns:
            Shape (k, columns). Patients are added up first: all rows of one have the same weight.
        """
        by_patient = np.stack([np.bincount(self.patients, own) for own in values])
        return np.asarray(by_patient @ self.weights.astype(np.float64), dtype=np.float64)


@dataclass(frozen=True)
class FitReplicates:
    """The metrics of one fit: pooled, and by country where they are defined as observed."""

    pooled: dict[str, Columns]
    by_country: dict[str, dict[str, Columns]]
    sizes: dict[str, dict[str, Columns]]

    def mean(self, metric: str, *, weighted: bool, over: Sequence[str] | None = None) -> Columns:
        """The mean over countries, weighted by test episodes or not; NaN where there is none."""
        values = self.by_country[metric]
        names = list(values) if over is None else over
        if not names:
            return np.full(len(self.pooled[metric]), np.nan)
        stacked = np.array([values[name] for name in names])
        if not weighted:
            return np.asarray(stacked.mean(axis=0), dtype=np.float64)
        sizes = np.array([self.sizes[metric][name] for name in names])
        return np.asarray((stacked * sizes).sum(axis=0) / sizes.sum(axis=0), dtype=np.float64)


def replicate_fit(
    test: HeldOutRows, probabilities: NDArray[np.floating], *, only: Sequence[str] = ()
) -> FitReplicates:
    """Work out every metric of a fit in every replicate.

    Args:
        test: the rows.
        probabilities: of label 1, shape (rows,).
        only: metrics to work out; all of ``RANKING``, ``LOSSES`` and ``CALIBRATION`` where empty.
    """
    wanted = set(only or (*RANKING, *LOSSES, *CALIBRATION))
    labels = test.rows["label"].to_numpy()
    p = np.asarray(probabilities, dtype=np.float64)
    pooled: dict[str, Columns] = {}
    by_country: dict[str, dict[str, Columns]] = {}
    sizes: dict[str, dict[str, Columns]] = {}
    if wanted & set(RANKING):
        ranked = dict(
            zip(
                RANKING,
                weighted_rank_metrics(labels, p, test.weights, test.patients),
                strict=True,
            )
        )
        own = {
            country: weighted_rank_metrics(labels[part], p[part], *test.of_country(country))
            for country, part in test.countries.items()
            if country in test.both
        }
        for i, metric in enumerate(RANKING):
            pooled[metric] = ranked[metric]
            by_country[metric] = _counted(test.both, {c: own[c][i] for c in own})
            sizes[metric] = _sizes(test.both, test.sizes)
    for metric, losses in {"brier": (p - labels) ** 2, "log_loss": log_losses(labels, p)}.items():
        if metric in wanted:
            # one row a country, 0 elsewhere
            apart = np.zeros((len(test.countries), len(p)))
            for i, part in enumerate(test.countries.values()):
                apart[i, part] = losses[part]
            sums = dict(zip(test.countries, test.sums(apart), strict=True))
            total = np.sum(list(test.sizes.values()), axis=0)
            pooled[metric] = np.sum(list(sums.values()), axis=0) / total
            with np.errstate(invalid="ignore"):  # a country that was not drawn: 0 / 0
                means = {c: sums[c] / test.sizes[c] for c in sums}
            by_country[metric] = _counted(test.some, means)
            sizes[metric] = _sizes(test.some, test.sizes)
    if wanted & set(CALIBRATION):
        intercept, slope = weighted_recalibration(labels, logit(p), test.weights, test.patients)
        # replicates are worked out in float32; what was observed is not
        intercept[0], slope[0] = calibration_intercept(labels, p), calibration_slope(labels, p)
        observed, expected = test.sums(np.stack([labels, p]))
        pooled |= {
            "calibration_intercept": intercept,
            "calibration_slope": slope,
            "observed_expected": observed / expected,
        }
    return FitReplicates(pooled, by_country, sizes)


def _counted(sources: dict[str, StandIn], own: dict[str, Columns]) -> dict[str, Columns]:
    """The values that count, lenders before those who borrow from them."""
    lenders = {c: source.apply(own[c]) for c, source in sources.items() if source.donor is None}
    return {
        c: lenders[c] if source.donor is None else source.apply(own[c], lenders[source.donor])
        for c, source in sources.items()
    }


def _sizes(sources: dict[str, StandIn], own: dict[str, Columns]) -> dict[str, Columns]:
    """Episodes of each country where its values come from; as observed where it borrows."""
    return {
        c: own[c][source.columns] if source.donor is None else np.full_like(own[c], own[c][0])
        for c, source in sources.items()
    }


#: (metric, scope, country); country is empty unless the scope is ``country``.
Estimand = tuple[str, str, str]


@dataclass
class ModelReplicates:
    """A model's estimands: means over the seeds in which they are defined, shape (columns,)."""

    values: dict[Estimand, Columns] = field(default_factory=dict)

    @classmethod
    def over_seeds(cls, fits: Sequence[FitReplicates]) -> ModelReplicates:
        """Average the fits of a model, one a seed."""
        gathered: dict[Estimand, list[Columns]] = {}
        for fit in fits:
            for estimand, columns in _estimands(fit).items():
                if not np.isnan(columns[0]):
                    gathered.setdefault(estimand, []).append(columns)
        return cls({name: np.mean(columns, axis=0) for name, columns in gathered.items()})


def _estimands(fit: FitReplicates) -> dict[Estimand, Columns]:
    found: dict[Estimand, Columns] = {}
    for metric, columns in fit.pooled.items():
        found[metric, "pooled", ""] = columns
    for metric, by_country in fit.by_country.items():
        found[metric, "macro", ""] = fit.mean(metric, weighted=False)
        found[metric, "weighted", ""] = fit.mean(metric, weighted=True)
        for country, columns in by_country.items():
            found[metric, "country", country] = columns
    return found


def intervals(drawn: NDArray[np.float64], level: float = 0.95) -> NDArray[np.float64]:
    """The percentile intervals of replicates, columns 1 and on.

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
