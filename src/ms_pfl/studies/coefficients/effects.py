"""What shared regressions say of each feature: odds ratios of two values, and the whole curve.

A feature counts with all columns that are made of it. Values are those of the training rows of all
countries and of all seeds together, so that every seed compares the same ones; which values these
are, and that none is that of a few patients, is in :mod:`ms_pfl.studies.coefficients.values`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ms_pfl.evaluation.bootstrap import MIN_PATIENTS
from ms_pfl.federation.partitions import POOLED, FederationData, federation_data
from ms_pfl.paradigms import Training
from ms_pfl.studies.coefficients.contrasts import (
    Estimates,
    Fit,
    Rows,
    compare,
    fits_of,
    missing_with,
    rows_with,
)
from ms_pfl.studies.coefficients.values import Comparison, Values, Vector
from ms_pfl.training.bundle import ModelBundle
from ms_pfl.training.settings import TrainingSettings

_TYPES = {"paradigm": "str", "strategy": "str", "n_seeds": "int64", "feature": "str"}
_ODDS_RATIOS = _TYPES | {
    "n_together": "int64",
    "compared": "str",
    "reference": "float64",
    "value": "float64",
    "log_odds_ratio": "float64",
    "standard_error": "float64",
    "odds_ratio": "float64",
    "odds_ratio_low": "float64",
    "odds_ratio_high": "float64",
}
_CURVES = _TYPES | {
    "reference": "float64",
    "value": "float64",
    "log_odds_ratio": "float64",
    "low": "float64",
    "high": "float64",
    "share": "float64",
}


def effects(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    models: Mapping[Training, Mapping[str, np.ndarray]],
    settings: TrainingSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return odds ratios and shape curves of some regressions, as means over seeds.

    Args:
        episodes: the episodes table.
        splits: the splits table.
        models: of the trainings.
        settings: of the trainings.

    Returns:
        ``odds_ratios``, one row per training and comparison: paradigm, strategy, n_seeds, feature,
        n_together (features that are missing with it, itself counted; 1 but where missing values
        are compared), compared, reference and value
        (:class:`ms_pfl.studies.coefficients.values.Comparison`), log_odds_ratio, standard_error
        (mean over seeds, clustered by patient), odds_ratio, odds_ratio_low and odds_ratio_high
        (95 %).

        ``shape_curves``, one row per training, feature of more than two values, and value: the
        same first columns, reference (the value next to the median), value, log_odds_ratio to the
        reference, low and high (95 %, at this value alone), share (of the training rows that have a
        value, with at most this one).

        Both have no row where ``training.protocol.scaling`` is ``country``.

    Raises:
        InputError: the models were trained on other data or with other settings.
    """
    data = federation_data(episodes, splits)
    held = TrainedRows.of(data)
    ratios: list[pd.DataFrame] = []
    curves: list[pd.DataFrame] = []
    for training, arrays in models.items():
        bundle = ModelBundle.of(arrays, training, settings, data)
        fits = fits_of(bundle, settings.protocol.scaling)
        if fits:
            found = effects_of(held, fits)
            ratios.append(found[0].assign(**training._asdict()))
            curves.append(found[1].assign(**training._asdict()))
    return _table(ratios, _ODDS_RATIOS), _table(curves, _CURVES)


def effects_of(held: TrainedRows, fits: Sequence[Fit]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return odds ratios and shape curves of one regression.

    Args:
        held: which values are compared.
        fits: of the regression, a seed each, one at least.

    Returns:
        The tables of :func:`effects` without paradigm and strategy.
    """
    return (
        _table(list(_odds_ratios(held, fits)), _ODDS_RATIOS).assign(n_seeds=len(fits)),
        _table(list(_curves(held, fits)), _CURVES).assign(n_seeds=len(fits)),
    )


@dataclass(frozen=True)
class TrainedRows:
    """The rows of all countries that are training rows in some seed.

    Attributes:
        features: their names.
        x: the rows, shape ``(rows, features)``, NaN = missing.
        values: of each feature.
    """

    features: tuple[str, ...]
    x: Rows
    values: tuple[Values, ...]

    @classmethod
    def of(cls, data: FederationData) -> TrainedRows:
        """Take the rows from the data of a training."""
        pooled = data.rows(POOLED)
        trained = np.any([pooled.splits[seed] == 0 for seed in data.seeds], axis=0)
        x, patients = pooled.x[trained], pooled.patient_codes[trained]
        return cls(data.features, x, tuple(Values.of(column, patients) for column in x.T))

    def rows(self, feature: int, values: Vector) -> Rows:
        """Return rows with values of one feature alone."""
        return rows_with(len(self.features), {feature: values}, len(values))


def _odds_ratios(held: TrainedRows, fits: Sequence[Fit]) -> Iterator[pd.DataFrame]:
    with_levels = frozenset.intersection(*(fit.levels() for fit in fits))
    for feature, values in enumerate(held.values):
        compared = [] if values.comparison is None else [values.comparison]
        if feature in with_levels:
            levels = values.common.tolist()
            compared += [Comparison("level", levels[0], level) for level in levels[1:]]
        if compared:
            low, high = (np.array([pair[side] for pair in compared]) for side in (1, 2))
            found = compare(fits, held.rows(feature, low), held.rows(feature, high))
            yield _ratios(held.features[feature], compared, found)
        yield from _missing(held, fits, feature)


def _missing(held: TrainedRows, fits: Sequence[Fit], feature: int) -> Iterator[pd.DataFrame]:
    """Missing values against medians, of all features that are missing in the same rows."""
    together = missing_with(held.x, feature)
    medians = {place: held.values[place].median for place in together}
    n_missing = held.values[feature].n_missing
    told = all(fit.tells_missing for fit in fits) and n_missing >= MIN_PATIENTS
    if told and together[0] == feature and not np.isnan(list(medians.values())).any():
        n_features = len(held.features)
        found = compare(fits, rows_with(n_features, medians), rows_with(n_features, {}))
        compared = Comparison("missing", medians[feature], np.nan)
        yield _ratios(held.features[feature], [compared], found, len(together))


def _ratios(
    feature: str, compared: Sequence[Comparison], found: Estimates, n_together: int = 1
) -> pd.DataFrame:
    low, high = found.interval()
    with np.errstate(over="ignore"):
        ratios = np.exp([found.log_odds_ratio, low, high])
    return pd.DataFrame(
        {
            "feature": feature,
            "n_together": n_together,
            "compared": [pair.how for pair in compared],
            "reference": [pair.low for pair in compared],
            "value": [pair.high for pair in compared],
            "log_odds_ratio": found.log_odds_ratio,
            "standard_error": found.standard_error,
            "odds_ratio": ratios[0],
            "odds_ratio_low": ratios[1],
            "odds_ratio_high": ratios[2],
        }
    )


def _curves(held: TrainedRows, fits: Sequence[Fit]) -> Iterator[pd.DataFrame]:
    for feature, values in enumerate(held.values):
        shown = values.shown
        if len(shown) < 3:
            continue
        reference = np.full(len(shown), values.median)
        found = compare(fits, held.rows(feature, reference), held.rows(feature, shown))
        low, high = found.interval()
        yield pd.DataFrame(
            {
                "feature": held.features[feature],
                "reference": reference,
                "value": shown,
                "log_odds_ratio": found.log_odds_ratio,
                "low": low,
                "high": high,
                "share": values.share_up_to(shown),
            }
        )


def _table(parts: Sequence[pd.DataFrame], types: Mapping[str, str]) -> pd.DataFrame:
    """Return the columns of a table in their order, those that are not known yet left out."""
    if not parts:
        return pd.DataFrame(columns=list(types)).astype(dict(types))
    whole = pd.concat(parts, ignore_index=True)
    known = {name: kind for name, kind in types.items() if name in whole}
    return whole[list(known)].astype(known)
