"""What to expect of each model, and of each planned difference, in a further country."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.evaluation.bootstrap import MIN_PATIENTS
from ms_pfl.evaluation.evaluate import Estimates
from ms_pfl.evaluation.inference import add_verdicts, standard_errors
from ms_pfl.evaluation.metrics import METRICS, Scale
from ms_pfl.evaluation.random_effects import RandomEffects, combine
from ms_pfl.paradigms import planned_pairs

Floats = NDArray[np.float64]
COLUMNS = [
    "paradigm", "strategy", "reference", "reference_strategy", "metric", "n_countries",
    "n_left_out", "mean", "mean_low", "mean_high", "scale", "tau", "tau_low", "tau_high", "low",
    "high", "verdict", "within_margin", "probability_good", "probability_better",
]  # fmt: skip
_BOUNDS = ("mean", "mean_low", "mean_high", "low", "high")


def further_country(
    estimates: Estimates,
    margins: Mapping[str, float],
    good: Mapping[str, tuple[float, float]],
) -> pd.DataFrame:
    """Summarize countries by random effects: values of every model, and planned differences.

    The standard errors are the bootstrap's of each country with at least ``MIN_PATIENTS`` test
    patients. ROC-AUC is summarized on the logit scale, observed / expected on the log scale
    (Debray et al., BMJ 356, 2017), by the delta method; differences, Brier score and log-loss as
    they are.

    Args:
        estimates: of :func:`ms_pfl.evaluation.evaluate.evaluate`, by country.
        margins: by metric, the largest difference that does not matter.
        good: by metric, the lowest and the highest value that is good performance.

    Returns:
        A row per model and metric (``reference`` empty), and per planned pair and metric with a
        better side; :data:`COLUMNS`. ``n_left_out``: countries without a usable standard error;
        ``mean`` with its interval; ``tau`` (on ``scale``) with its interval; ``low`` to ``high``:
        95 % prediction interval of a further country; ``verdict`` (differences), from that
        interval; ``probability_good``: that a further country's value is good, or that its
        difference is not to the worse by more than the margin; ``probability_better`` (differences)
        that it is to the better. NaN where too few countries can be summarized.
    """
    records: list[dict[str, object]] = []
    for model, values in estimates.values.items():
        for name, metric in METRICS.items():
            drawn = {c: own for (m, scope, c), own in values.items()
                     if (m, scope) == (name, "country")}  # fmt: skip
            if metric.between is not None and drawn:
                found, n = _combined(estimates, drawn, metric.between)
                row = _row(found, metric.between, n)
                if found is not None and name in good:
                    row["probability_good"] = _probability_within(found, good[name], metric.between)
                records.append(_keys((*model, "", ""), name) | row)
    pairs = planned_pairs([(paradigm, strategy) for paradigm, strategy in estimates.values])
    for pair, other in pairs:
        common, gained = estimates.drawn_differences(tuple(pair), tuple(other))
        for name, metric in METRICS.items():
            drawn = {c: own for (m, scope, c), own in zip(common, gained, strict=True)
                     if (m, scope) == (name, "country")}  # fmt: skip
            if metric.between is not None and drawn and not math.isnan(metric.sign):
                found, n = _combined(estimates, drawn, "identity")
                row = _row(found, "identity", n)
                if found is not None:
                    row |= _odds(found, metric.sign, margins.get(name, math.nan))
                records.append(_keys((*pair, *other), name) | row)
    table = pd.DataFrame(
        records, columns=[name for name in COLUMNS if name not in ("verdict", "within_margin")]
    )
    signs = {name: metric.sign for name, metric in METRICS.items()}
    judged = add_verdicts(table, signs, margins)
    of_value = judged["reference"] == ""
    judged.loc[of_value, "verdict"], judged.loc[of_value, "within_margin"] = "", False
    return judged[COLUMNS]


def _keys(pair: tuple[str, ...], metric: str) -> dict[str, object]:
    return dict(zip(COLUMNS[:5], (*pair, metric), strict=True))


def _combined(
    estimates: Estimates, drawn: Mapping[str, Floats], scale: Scale
) -> tuple[RandomEffects | None, int]:
    """Return the summary of the countries that have enough patients, and how many there are in
    all."""
    defined = {country: own for country, own in drawn.items() if not np.isnan(own[0])}
    enough = [
        own
        for country, own in defined.items()
        if estimates.patients["country", country] >= MIN_PATIENTS
    ]
    if not enough:
        return None, len(defined)
    stacked = np.array(enough)
    values, errors = stacked[:, 0], standard_errors(stacked)
    slope = _SLOPES[scale](values)
    usable = np.isfinite(slope) & np.isfinite(errors)
    found = combine(_TO[scale](values[usable]), (slope * errors)[usable])
    return found, len(defined)


def _row(found: RandomEffects | None, scale: Scale, countries: int) -> dict[str, object]:
    """Return the columns that values and differences share, on the scale of the metric."""
    if found is None:
        return {"n_countries": 0, "n_left_out": countries, "scale": scale}
    back = {name: float(_FROM[scale](getattr(found, name))) for name in _BOUNDS}
    taus = {name: getattr(found, name) for name in ("tau", "tau_low", "tau_high")}
    counts = {"n_countries": found.k, "n_left_out": countries - found.k, "scale": scale}
    return counts | back | taus


def _probability_within(found: RandomEffects, good: tuple[float, float], scale: Scale) -> float:
    with np.errstate(divide="ignore"):
        low, high = (float(_TO[scale](np.float64(bound))) for bound in good)
    above = [found.probability_above(bound) if math.isfinite(bound) else float(bound < 0)
             for bound in (low, high)]  # fmt: skip
    return above[0] - above[1]


def _odds(found: RandomEffects, sign: float, margin: float) -> dict[str, object]:
    """How likely a difference is not to the worse by more than the margin, and to the better."""

    def good_side(bound: float) -> float:
        """Return the probability that sign times the true difference is above a bound."""
        above = found.probability_above(sign * bound)
        return above if sign > 0 else 1 - above

    return {
        "probability_good": math.nan if math.isnan(margin) else good_side(-margin),
        "probability_better": good_side(0.0),
    }


def _logit(p: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(p) - np.log1p(-p), dtype=np.float64)


def _inverse(derivative: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        return np.asarray(1 / derivative, dtype=np.float64)


_Transform = Callable[[Any], Floats]
_TO: dict[Scale, _Transform] = {"identity": np.asarray, "logit": _logit, "log": np.log}
_FROM: dict[Scale, _Transform] = {
    "identity": np.asarray,
    "logit": lambda x: 1 / (1 + np.exp(-x)),
    "log": np.exp,
}
# the derivative of the scale, by which a standard error is multiplied
_SLOPES: dict[Scale, _Transform] = {
    "identity": lambda x: np.ones_like(x),
    "logit": lambda x: _inverse(x * (1 - x)),
    "log": lambda x: _inverse(x),
}
