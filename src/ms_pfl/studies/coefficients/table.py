r"""Coefficients with standard errors clustered by patient, and odds ratios.

An odds ratio compares two rows that differ in one feature alone: with the contrast :math:`c`, the
difference of the two rows as the model sees them, it is :math:`e^{c^\top\theta}`, and its 95 %
interval is :math:`e^{c^\top\theta \pm 1.96 \sqrt{c^\top V c}}` with the covariance :math:`V` of the
coefficients (:func:`ms_pfl.learning.logistic.sandwich`). The ridge pulls coefficients towards 0,
and the interval is one of the pulled coefficients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.federation.partitions import POOLED, federation_data
from ms_pfl.learning.bins import Bins
from ms_pfl.learning.encoding import Column, Encoding, Kind
from ms_pfl.learning.inputs import Inputs
from ms_pfl.learning.logistic import theta_of
from ms_pfl.learning.scaler import Scaler
from ms_pfl.paradigms import Training
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
_Z = NormalDist().inv_cdf(0.975)
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
            rows = _rows(data.features, start.inputs, train.x)
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
            away = _Z * float(np.sqrt(contrast @ covariance @ contrast))
            with np.errstate(over="ignore"):
                ratio = np.exp([middle, middle - away, middle + away]).tolist()
        yield (
            *training, seed, row.column, row.feature, row.kind, row.low, row.high,
            float(theta[place]), float(errors[place]), row.compared, *ratio,
        )  # fmt: skip
    last = (INTERCEPT, "", INTERCEPT, np.nan, np.nan, float(theta[-1]), float(errors[-1]), "")
    yield (*training, seed, *last, np.nan, np.nan, np.nan)


def _rows(features: Sequence[str], inputs: Inputs, x: NDArray[np.float32]) -> list[_Row]:
    """What each column of the inputs is; ``x``: the training rows of all countries."""
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
        _encoded(features[column.feature], column, unit, inputs, lowest, x[:, column.feature])
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
    values: NDArray[np.float32],
) -> _Row:
    low, high, kind = column.low, column.high, column.kind.name.lower()
    match column.kind:
        case Kind.STANDARDIZED:
            return _standardized(name, unit * column.scale, low, high)
        case Kind.NORMAL_SCORE:
            low, high, words = _spread(values)
            compared = f"{high:.6g} against {low:.6g} ({words})"
            contrast = _between(inputs, column.feature, low, high)
            return _Row(name, name, kind, np.nan, np.nan, compared, contrast)
        case Kind.MISSING:
            compared = "missing against the middle rank"
            if any(own.kind == Kind.STANDARDIZED for own in inputs.columns):
                compared = "missing against the mean"
            label = f"{name} missing"
            return _Row(label, name, kind, np.nan, np.nan, compared, unit * column.scale)
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


def _spread(values: NDArray[np.float32]) -> tuple[float, float, str]:
    """Two values of a feature that are worth comparing, and which they are."""
    held = values[~np.isnan(values)]
    if not len(held):
        return 0.0, 0.0, "no value"
    low, high = np.quantile(held, [0.25, 0.75], method="closest_observation")
    if low < high:
        return float(low), float(high), "upper against lower quartile"
    return float(held.min()), float(held.max()), "highest against lowest value"


def _value(column: Column) -> float:
    """The value that a level stands for: where its cell begins."""
    return column.high if column.low <= -_LARGEST else column.low


def _between(inputs: Encoding, feature: int, low: float, high: float) -> Vector:
    """The difference of two rows that have these values of one feature, as the model sees them."""
    rows = np.full((2, inputs.n_features), np.nan, np.float32)
    rows[:, feature] = [low, high]
    encoded = inputs.apply(rows).astype(np.float64)
    found: Vector = encoded[1] - encoded[0]
    return found
