"""One engine: every metric of every fit, in every draw of patients, for any grouping of rows.

The uncertainty of a value follows from it: intervals, differences between models, and their tests.

Arrays have 1 + replicates columns; column 0 is what was observed.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.evaluation.bootstrap import MIN_PATIENTS, Draws, draw_patients, intervals
from ms_pfl.evaluation.held_out import Estimand, HeldOutRows, Values
from ms_pfl.evaluation.inference import pointwise, standard_errors
from ms_pfl.evaluation.metrics import METRICS, Columns, Metric
from ms_pfl.paradigms import models_in_order

Model = tuple[str, ...]
PARADIGM = ("paradigm", "strategy")
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Estimates:
    """The estimands of every model, as observed and in every draw.

    ``names``: what a model's key is made of; ``fits``: of each model, its test rows and values by
    seed; ``values``: their means over the seeds in which they are defined, all NaN where there is
    none; ``patients``: distinct test patients of a (scope, group), over all seeds; ``strata``: the
    countries that the pooled ones are drawn within.
    """

    names: tuple[str, ...]
    fits: dict[Model, dict[int, tuple[HeldOutRows, Values]]]
    values: dict[Model, Values]
    patients: dict[tuple[str, str], int]
    strata: int

    def few(self, scope: str, group: str) -> bool:
        """Return whether an estimand rests on too few patients to tell how much it varies."""
        return self.patients.get((scope, group), self.patients["pooled", ""]) < MIN_PATIENTS

    def freedom(self, scope: str, group: str) -> int:
        """Return the degrees of freedom of a standard error: patients less strata, at least 1."""
        n = self.patients.get((scope, group), self.patients["pooled", ""])
        return max(1, n - (1 if group else self.strata))

    def bounds(self, estimands: Sequence[Estimand], drawn: NDArray[np.float64]) -> Columns:
        """Return 95 % intervals, shape (estimands, 2).

        NaN for what rests on too few patients, and where the interval does not hold the value
        itself: resampling biases it by more than chance moves it, as means over countries of two
        or three test patients.
        """
        found, values = intervals(drawn), drawn[:, 0]
        few = np.array([self.few(scope, group) for _, scope, group in estimands], dtype=bool)
        beside = (values < found[:, 0] - _ROUNDING) | (values > found[:, 1] + _ROUNDING)
        found[few | beside] = np.nan
        return found

    def observed(self) -> pd.DataFrame:
        """Return the observed values of every fit, pooled and over countries.

        Returns:
            A row per fit, metric, scope and country: the columns of the model, seed, scope,
            country, metric, value, n_episodes, n_positive (of the rows behind the value; of the
            country or of all countries where it is undefined), n_countries (behind the value),
            n_left_out (countries without a value).
        """
        records = [
            (*model, seed, *record)
            for model, seeds in self.fits.items()
            for seed, fit in seeds.items()
            for record in _observed(*fit)
        ]
        columns = [
            *self.names, "seed", "scope", "country", "metric", "value", "n_episodes", "n_positive",
            "n_countries", "n_left_out",
        ]  # fmt: skip
        texts = dict.fromkeys([*self.names, "scope", "country", "metric"], "str")
        return pd.DataFrame.from_records(records, columns=columns).astype(texts)

    def intervals(self) -> pd.DataFrame:
        """Return every estimand with its 95 % percentile interval.

        Returns:
            A row per model, scope, group and metric: the columns of the model, scope, group,
            metric, value (mean over seeds), low and high (see :meth:`bounds`), n_episodes and
            n_positive (test episodes of the group, means over seeds).
        """
        records: list[tuple[object, ...]] = []
        for model, values in self.values.items():
            bounds = self.bounds(list(values), np.array(list(values.values())))
            counts = [test.counts() for test, _ in self.fits[model].values()]
            groups = dict.fromkeys(key for seed in counts for key in seed)
            n = {key: np.mean([seed[key] for seed in counts if key in seed], 0) for key in groups}
            for (metric, scope, group), (low, high) in zip(values, bounds, strict=True):
                value = float(values[metric, scope, group][0])
                behind = n.get((scope, group), (np.nan, np.nan))
                records.append((*model, scope, group, metric, value, low, high, *behind))
        columns = [
            *self.names, "scope", "group", "metric", "value", "low", "high", "n_episodes",
            "n_positive",
        ]  # fmt: skip
        return pd.DataFrame.from_records(records, columns=columns)

    def drawn_differences(self, model: Model, other: Model) -> tuple[list[Estimand], Columns]:
        """Subtract one model from another, draw by draw: both on the same drawn patients.

        Returns:
            The estimands that both have, and their differences, shape (estimands, 1 + replicates).
        """
        own, base = self.values[model], self.values[other]
        common = [
            name for name in own if name in base and not np.isnan(own[name][0] + base[name][0])
        ]
        width = len(next(iter(own.values()))) if own else 1
        gained = np.array([own[name] - base[name] for name in common]).reshape(-1, width)
        gained[np.abs(gained) < _ROUNDING] = 0.0  # rankings that are alike but for rounding
        return common, gained

    def differences(self, pairs: Iterable[tuple[Model, Model]]) -> pd.DataFrame:
        """Subtract the second model of each pair from the first and test the difference by itself.

        Returns:
            A row per pair, metric, scope and group in which both are defined: the columns of the
            model and (as ``reference``, ``reference_…``) of the other, scope, group, metric,
            difference, se (standard error by the bootstrap), low, high and p (95 % interval and
            two-sided p from that standard error, :func:`.inference.pointwise`; NaN where fewer than
            ``MIN_PATIENTS`` patients can be drawn), and of macro means n_countries, n_better
            (countries that differ to the better) and wilcoxon_p (signed-rank test over the
            countries' differences).
        """
        records: list[tuple[object, ...]] = []
        for model, other in pairs:
            common, gained = self.drawn_differences(model, other)
            few = [self.few(scope, group) for _, scope, group in common]
            freedom = np.array([self.freedom(scope, group) for _, scope, group in common])
            errors = np.where(few, np.nan, standard_errors(gained))
            found = pointwise(gained[:, 0], errors, freedom)
            numbers = np.column_stack([gained[:, 0], errors, found.low, found.high, found.p])
            for (metric, scope, group), own in zip(common, numbers, strict=True):
                over = (np.nan, np.nan, np.nan)
                if scope == "macro":
                    countries = [name[:2] == (metric, "country") for name in common]
                    over = _over_countries(gained[countries, 0], METRICS[metric].sign)
                records.append((*model, *other, scope, group, metric, *map(float, own), *over))
        columns = [
            *self.names, "reference", *(f"reference_{name}" for name in self.names[1:]), "scope",
            "group", "metric", "difference", "se", "low", "high", "p", "n_countries", "n_better",
            "wilcoxon_p",
        ]  # fmt: skip
        return pd.DataFrame.from_records(records, columns=columns)


def _observed(test: HeldOutRows, values: Values) -> Iterator[tuple[object, ...]]:
    counts = {key: n.astype(np.int64) for key, n in test.counts().items()}
    countries = [country for scope, country in counts if scope == "country"]
    for metric in dict.fromkeys(name for name, _, _ in values):
        known = [c for c in countries if not np.isnan(values[metric, "country", c][0])]
        behind = np.sum([counts["country", c] for c in known or countries], axis=0)
        rows = [
            ("pooled", "", counts["pooled", ""], len(countries)),
            ("macro", "", behind, len(known)),
            ("weighted", "", behind, len(known)),
            *(("country", c, counts["country", c], 1) for c in countries),
        ]
        for scope, country, n, most in rows:
            if (metric, scope, country) in values:
                value = float(values[metric, scope, country][0])
                defined = 0 if np.isnan(value) else most
                left_out = (1 if country else len(countries)) - defined
                yield (scope, country, metric, value, n[0], n[1], defined, left_out)


def _over_countries(gained: NDArray[np.float64], sign: float) -> tuple[float, float, float]:
    from scipy.stats import wilcoxon

    # differences of 0 say nothing to the signed-rank test; where there is nothing else, p is 1
    p = float(wilcoxon(gained).pvalue) if np.any(gained != 0) else 1.0
    return float(len(gained)), float((sign * gained > 0).sum()), p


def evaluate(
    test: pd.DataFrame,
    by: Sequence[str],
    draws: Draws | None = None,
    *,
    metrics: Sequence[Metric] | None = None,
    names: tuple[str, ...] = PARADIGM,
) -> Estimates:
    """Work out metrics of every fit in every draw; one draw serves all models, seeds and groups.

    Args:
        test: the columns ``names``, seed, country, patient_id, label (0/1), probability and those
            of ``by``; rows of a fit sorted by country. Fits of one seed share what is prepared of
            their rows as far as these are the same.
        by: scopes to work out: ``pooled`` (all rows together), ``country`` (each country, and the
            means over countries), and columns of levels (each level, missing ones left out).
        draws: of patients, those of ``test`` among them; without them values are as observed.
        metrics: all rows of ``METRICS`` where left out. Those that resampling would bias are
            left out of a bootstrap.
        names: the columns that identify a model.
    """
    from threadpoolctl import threadpool_limits

    if draws is None:
        draws = draw_patients(test, 0, 0)
    resampled = draws.weights.shape[1] > 1
    wanted = METRICS.values() if metrics is None else metrics
    chosen = [metric for metric in wanted if metric.interval or not resampled]
    prepared: dict[int, list[HeldOutRows]] = {}

    def rows_of(seed: int, rows: pd.DataFrame) -> HeldOutRows:
        known = prepared.setdefault(seed, [])
        for shared in known:
            if shared.same(rows, by):
                return shared
        known.append(HeldOutRows.of(rows, by, draws))
        return known[-1]

    fits: dict[Model, dict[int, tuple[HeldOutRows, Values]]] = {}
    # a thread a core, so BLAS may not start threads of its own; the order of models decides nothing
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        waiting = {}
        # models made of others' predictions may be one of these
        known: dict[tuple[int, bytes], Future[Values]] = {}
        for key, rows in test.groupby([*names, "seed"], sort=True):
            shared = rows_of(int(str(key[-1])), rows)
            risks = rows["probability"].to_numpy()
            same = id(shared), blake2b(risks.tobytes()).digest()
            if same not in known:
                known[same] = pool.submit(shared.score, risks, chosen)
            waiting[tuple(map(str, key))] = shared, known[same]
        for (*model, seed), (shared, scored) in waiting.items():
            fits.setdefault(tuple(model), {})[int(seed)] = shared, scored.result()
    if names == PARADIGM:
        fits = {model: fits[model] for model in models_in_order(test)}
    values = {model: _over_seeds([own for _, own in fits[model].values()]) for model in fits}
    return Estimates(names, fits, values, *_patients(test, by))


def _over_seeds(fits: Sequence[Values]) -> Values:
    """Return the mean of each estimand over the seeds in which it is defined; NaN where there is
    none."""
    estimands = dict.fromkeys(estimand for fit in fits for estimand in fit)
    return {e: _mean_of_defined([fit[e] for fit in fits if e in fit]) for e in estimands}


def _mean_of_defined(seeds: Sequence[Columns]) -> Columns:
    defined = [columns for columns in seeds if not np.isnan(columns[0])]
    return np.mean(defined, axis=0) if defined else np.full_like(seeds[0], np.nan)


def _patients(test: pd.DataFrame, by: Sequence[str]) -> tuple[dict[tuple[str, str], int], int]:
    """Patients of each (scope, group), and the countries that can be drawn from."""
    people = test[list(dict.fromkeys(["country", "patient_id", *(n for n in by if n in test)]))]
    people = people.drop_duplicates()
    of_country = people[["country", "patient_id"]].drop_duplicates()["country"].value_counts()
    # a country's only patient is drawn in every replicate, and tells nothing
    drawn = of_country[of_country > 1]
    counts = {("pooled", ""): int(drawn.sum())}
    for scope in by:
        if scope != "pooled":
            own = people[list(dict.fromkeys([scope, "country", "patient_id"]))].drop_duplicates()
            counts |= {(scope, str(k)): int(n) for k, n in own[scope].value_counts().items()}
    return counts, len(drawn)
