"""Test rows with their weights in every draw of patients, and every metric of a fit on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.evaluation.bootstrap import Draws, StandIn, stand_ins
from ms_pfl.evaluation.metrics import Columns, Group, Metric, Weights

#: (metric, scope, group). Scopes are ``pooled``, ``country``, ``macro`` and ``weighted``, or the
#: name of a column of levels; the group is a country or a level, and empty otherwise.
Estimand = tuple[str, str, str]
Values = dict[Estimand, Columns]


@dataclass(frozen=True)
class HeldOutRows:
    """Test rows that fits share, with their weights in each draw.

    ``rows`` are sorted by country. ``groups``: (scope, name) -> which rows, and their weights.
    ``sources`` say where the values of each country come from (:func:`.bootstrap.stand_ins`), of
    metrics that need both classes (True) and of others (False); ``sizes``: the episodes of each
    country there. A country that is not in ``sources[True]`` has one class as observed.
    """

    rows: pd.DataFrame
    groups: dict[tuple[str, str], tuple[slice | NDArray[np.intp], Weights]]
    sources: dict[bool, dict[str, StandIn]]
    sizes: dict[bool, dict[str, Columns]]

    @classmethod
    def of(cls, rows: pd.DataFrame, by: Sequence[str], draws: Draws) -> HeldOutRows:
        """Prepare the rows of a fit: country, patient_id, label and the columns of ``by``."""
        drawn, patients = np.unique(draws.positions(rows), return_inverse=True)
        values = draws.weights[drawn].astype(np.float64)
        labels = rows["label"].to_numpy()
        groups: dict[tuple[str, str], tuple[slice | NDArray[np.intp], Weights]] = {}
        for scope in by:
            if scope == "pooled":
                groups[scope, ""] = slice(None), Weights(values, patients)
            elif scope == "country":
                names = rows["country"].to_numpy(dtype=object)
                starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]])
                for a, b in zip(starts, [*starts[1:], len(names)], strict=True):
                    own = patients[a:b]
                    # patients are sorted by country
                    first = own.min()
                    weights = Weights(values[first : own.max() + 1], own - first)
                    groups[scope, str(names[a])] = slice(a, b), weights
            else:
                levels = pd.Categorical(rows[scope])
                for code, level in enumerate(levels.categories):
                    at = np.flatnonzero(levels.codes == code)
                    if len(at):
                        groups[scope, str(level)] = at, Weights(values, patients[at])
        countries = {name: group for (scope, name), group in groups.items() if scope == "country"}
        totals = {country: weights.total for country, (_, weights) in countries.items()}
        # of each class apart, so that rounding cannot leave a trace of one
        classes = {
            country: weights.sums(np.stack([labels[at], 1 - labels[at]])) > 0
            for country, (at, weights) in countries.items()
        }
        defined: dict[bool, dict[str, NDArray[np.bool_]]] = {
            True: {
                c: np.asarray(found.all(axis=0))
                for c, found in classes.items()
                if found[:, 0].all()
            },
            False: {c: np.asarray(total > 0) for c, total in totals.items()},
        }
        sources = {
            both: stand_ins(known, draws.n_patients(), draws.seed)
            for both, known in defined.items()
        }
        sizes = {both: sizes_counted(found, totals) for both, found in sources.items()}
        return cls(rows, groups, sources, sizes)

    def counts(self) -> dict[tuple[str, str], NDArray[np.float64]]:
        """Return episodes and positive episodes of each group, shape (2,)."""
        labels = self.rows["label"].to_numpy()
        return {
            key: np.array([len(labels[rows]), labels[rows].sum()], dtype=np.float64)
            for key, (rows, _) in self.groups.items()
        }

    def same(self, rows: pd.DataFrame, by: Sequence[str]) -> bool:
        """Return whether other rows are of the same patients, labels and levels, in one order."""
        return len(rows) == len(self.rows) and all(
            self.rows[name].array.equals(rows[name].array)
            for name in {"country", "patient_id", "label", *by}
            if name in rows
        )

    def score(self, risks: NDArray[np.floating], metrics: Sequence[Metric]) -> Values:
        """Return every metric in every scope; NaN in column 0 where it is undefined.

        By country, metrics by which countries are not summarized are left out of a bootstrap.
        """
        labels = self.rows["label"].to_numpy()
        groups = {
            key: Group(labels[rows], risks[rows].astype(np.float64), weights)
            for key, (rows, weights) in self.groups.items()
        }
        values: Values = {}
        for metric in metrics:
            for (scope, name), group in groups.items():
                observed_only = group.weights.values.shape[1] == 1
                summarized = metric.over_sites or metric.between is not None
                if scope != "country" or summarized or observed_only:
                    values[metric.name, scope, name] = metric.value(group)
            if metric.over_sites and any(scope == "country" for scope, _ in groups):
                self._means(metric, values)
        return values

    def _means(self, metric: Metric, values: Values) -> None:
        """Put stand-ins in their places, and add the means over countries."""
        sources = self.sources[metric.needs_both_classes]
        sizes = self.sizes[metric.needs_both_classes]
        own = {country: values[metric.name, "country", country] for country in sources}
        counted = _counted(sources, own)
        values |= {(metric.name, "country", c): columns for c, columns in counted.items()}
        undefined = np.full(len(next(iter(values.values()))), np.nan)
        stacked = np.array(list(counted.values()))
        n = np.array([sizes[country] for country in counted])
        values[metric.name, "macro", ""] = stacked.mean(axis=0) if counted else undefined
        values[metric.name, "weighted", ""] = (
            (stacked * n).sum(axis=0) / n.sum(axis=0) if counted else undefined
        )


def _counted(sources: dict[str, StandIn], own: dict[str, Columns]) -> dict[str, Columns]:
    """Return the values that count, lenders before those who borrow from them."""
    lenders = {c: source.apply(own[c]) for c, source in sources.items() if source.donor is None}
    return {
        c: lenders[c] if source.donor is None else source.apply(own[c], lenders[source.donor])
        for c, source in sources.items()
    }


def sizes_counted(sources: dict[str, StandIn], own: dict[str, Columns]) -> dict[str, Columns]:
    """Episodes of each country where its values come from; as observed where it borrows."""
    return {
        c: own[c][source.columns] if source.donor is None else np.full_like(own[c], own[c][0])
        for c, source in sources.items()
    }
