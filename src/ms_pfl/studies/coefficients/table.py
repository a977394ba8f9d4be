r"""Coefficients with standard errors clustered by patient, and odds ratios.

An odds ratio compares two rows that differ in one feature alone: with the contrast :math:`c`, the
difference of the two rows as the model sees them, it is :math:`e^{c^\top\theta}`, and its 95 %
interval is :math:`e^{c^\top\theta \pm 1.96 \sqrt{c^\top V c}}` with the covariance :math:`V` of the
coefficients (:func:`ms_pfl.learning.logistic.sandwich`). The ridge pulls coefficients towards 0,
and the interval is one of the pulled coefficients. Numbers are compared at values that are not
those of a few patients (:mod:`ms_pfl.studies.coefficients.values`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.federation.partitions import POOLED, Split, federation_data
from ms_pfl.learning.bins import Bins
from ms_pfl.learning.encoding import Column, Encoding, Kind
from ms_pfl.learning.inputs import Inputs
from ms_pfl.learning.logistic import theta_of
from ms_pfl.learning.scaler import Scaler
from ms_pfl.paradigms import Training
from ms_pfl.studies.coefficients.contrasts import Rows, Z, missing_with, rows_with
from ms_pfl.studies.coefficients.values import Values
from ms_pfl.training.bundle import ModelBundle
from ms_pfl.training.settings import TrainingSettings

COLUMNS = (
    "paradigm",
    "strategy",
    "seed",
    "column",
    "feature",
    "kind",
    "low",
    "high",
    "estimate",
    "standard_error",
    "compared",
    "odds_ratio",
    "odds_ratio_low",
    "odds_ratio_high",
)
INTERCEPT = "intercept"
_LARGEST = float(np.finfo(np.float32).max)
Vector = NDArray[np.float64]


def coefficients(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    models: Mapping[Training, Mapping[str, np.ndarray]],
    settings: TrainingSettings,
) -> pd.DataFrame:
    """Return the coefficients of some regressions.

    Args:
        episodes: the episodes table.
        splits: the splits table.
        models: of the trainings.
        settings: of the trainings.

    Returns:
        One row per training, seed and column of the inputs, and one for the intercept: paradigm,
        strategy, seed, column (as people read it), feature (that it is made of), kind, low and high
        (see :class:`ms_pfl.learning.encoding.Encoding`; NaN where they mean nothing), estimate
        (log-odds per unit of the column), standard_error (clustered by patient), compared (what the
        odds ratio compares: two values of the feature, in all columns that are made of it),
        odds_ratio, odds_ratio_low and odds_ratio_high (95 %; NaN for the intercept and for what is
        compared with itself).

    Raises:
        InputError: the models were trained on other data or with other settings.
    """
    data = federation_data(episodes, splits)
    records: list[tuple[object, ...]] = []
    for training, arrays in models.items():
        bundle = ModelBundle.of(arrays, training, settings, data)
        starts = bundle.starts()
        for seed, covariance in bundle.covariances().items():
            start = starts[seed]
            train = data.rows(POOLED).client_data(seed).train
            rows = _rows(data.features, start.inputs, train)
            records += _records(training, seed, rows, theta_of(start.arrays), covariance)
    table = pd.DataFrame.from_records(records, columns=list(COLUMNS))
    texts = ("paradigm", "strategy", "column", "feature", "kind", "compared")
    return table.astype({**dict.fromkeys(texts, "str"), "seed": "int64"})


@dataclass(frozen=True)
class _Row:
    """What a column is, and what its odds ratio compares; a contrast of zeros: nothing."""

    column: str
    feature: str
    kind: str
    low: float
    high: float
    compared: str
    contrast: Vector


def _records(
    training: Training, seed: int, rows: Sequence[_Row], theta: Vector, covariance: Vector
) -> Iterator[tuple[object, ...]]:
    errors = np.sqrt(np.diag(covariance))
    for place, row in enumerate(rows):
        contrast = np.r_[row.contrast, 0.0]
        ratio = [np.nan] * 3
        if contrast.any():
            middle = float(contrast @ theta)
            away = Z * float(np.sqrt(contrast @ covariance @ contrast))
            with np.errstate(over="ignore"):
                ratio = np.exp([middle, middle - away, middle + away]).tolist()
        yield (
            *training, seed, row.column, row.feature, row.kind, row.low, row.high,
            float(theta[place]), float(errors[place]), row.compared, *ratio,
        )  # fmt: skip
    last = (INTERCEPT, "", INTERCEPT, np.nan, np.nan, float(theta[-1]), float(errors[-1]), "")
    yield (*training, seed, *last, np.nan, np.nan, np.nan)


def _rows(features: Sequence[str], inputs: Inputs, train: Split) -> list[_Row]:
    """Return what each column of the inputs is; ``train``: the training rows of all countries."""
    if isinstance(inputs, Scaler):
        return [
            _standardized(name, unit, float(mean), float(mean + sd))
            for name, unit, mean, sd in zip(
                features, np.eye(len(features)), inputs.mean, inputs.sd, strict=True
            )
        ]
    assert not isinstance(inputs, Bins), "codes of bins are inputs of trees alone"
    lowest = {c.feature: c for c in reversed(inputs.columns) if c.kind == Kind.LEVEL}
    units = np.eye(inputs.width)
    return [
        _encoded(features[column.feature], column, unit, inputs, lowest, train)
        for column, unit in zip(inputs.columns, units, strict=True)
    ]


def _standardized(name: str, unit: Vector, low: float, high: float) -> _Row:
    compared = f"per standard deviation ({high - low:.4g})"
    return _Row(name, name, Kind.STANDARDIZED.name.lower(), low, high, compared, unit)


def _encoded(
    name: str,
    column: Column,
    unit: Vector,
    inputs: Encoding,
    lowest: Mapping[int, Column],
    train: Split,
) -> _Row:
    low, high, kind = column.low, column.high, column.kind.name.lower()
    match column.kind:
        case Kind.STANDARDIZED:
            return _standardized(name, unit * column.scale, low, high)
        case Kind.NORMAL_SCORE:
            compared, contrast = _spread(column.feature, inputs, train)
            return _Row(name, name, kind, np.nan, np.nan, compared, contrast)
        case Kind.MISSING:
            compared, contrast = _missing(column.feature, inputs, train)
            return _Row(f"{name} missing", name, kind, np.nan, np.nan, compared, contrast)
        case Kind.LEVEL:
            reference = lowest[column.feature]
            contrast = _between(inputs, column.feature, _value(reference), _value(column))
            compared = f"{_value(column):.6g} against {_value(reference):.6g}"
            if column == reference:
                compared = f"{_value(column):.6g} is the reference"
            label = f"{name} = {_value(column):.6g}"
            return _Row(label, name, kind, low, high, compared, contrast)
        case Kind.HINGE:
            label = f"{name} above the normal score {low:.3g}"
            compared = f"change of slope at the normal score {low:.3g}"
            return _Row(label, name, kind, low, np.nan, compared, unit * column.scale)
        case Kind.PIECE:
            label = f"{name} from {low:.6g} to {high:.6g}"
            compared = f"{high:.6g} against {low:.6g}"
            contrast = _between(inputs, column.feature, low, high)
            return _Row(label, name, kind, low, high, compared, contrast)


_WORDS = {
    "binary": "",
    "quartiles": " (upper against lower quartile)",
    "ends": " (highest against lowest value shown)",
}


def _spread(feature: int, inputs: Encoding, train: Split) -> tuple[str, Vector]:
    """Two values of a feature that are worth comparing, in words and as a contrast."""
    found = Values.of(train.x[:, feature], train.patients).comparison
    if found is None:
        return "no two values that enough patients have", np.zeros(inputs.width)
    words = f"{found.high:.6g} against {found.low:.6g}{_WORDS[found.how]}"
    return words, _between(inputs, feature, found.low, found.high)


def _missing(feature: int, inputs: Encoding, train: Split) -> tuple[str, Vector]:
    """Missing values against medians, of all features that are missing in the same rows."""
    medians = {
        place: Values.of(train.x[:, place], train.patients).median
        for place in missing_with(train.x, feature)
    }
    if np.isnan(list(medians.values())).any():
        return "no median that enough patients have", np.zeros(inputs.width)
    low = rows_with(inputs.n_features, medians)
    high = rows_with(inputs.n_features, {})
    others = " and of what is missing with it" if len(medians) > 1 else ""
    words = f"missing against the median ({medians[feature]:.6g}){others}"
    return words, _difference(inputs, low, high)


def _value(column: Column) -> float:
    """Return the value that a level stands for: where its cell begins."""
    return column.high if column.low <= -_LARGEST else column.low


def _between(inputs: Encoding, feature: int, low: float, high: float) -> Vector:
    """Return the difference of two rows that have these values of one feature, as the model sees
    them."""
    rows = (rows_with(inputs.n_features, {feature: value}) for value in (low, high))
    return _difference(inputs, *rows)


def _difference(inputs: Encoding, low: Rows, high: Rows) -> Vector:
    found: Vector = (inputs.apply(high).astype(np.float64) - inputs.apply(low))[0]
    return found
