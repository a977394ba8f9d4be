"""What to expect of each model, and of each planned difference, in a further country."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.evaluation.bootstrap import MIN_PATIENTS
from ms_pfl.evaluation.evaluate import Estimates, Model
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
    for model in estimates.values:
        for name, metric in METRICS.items():
            drawn = _by_country(estimates, model, name)
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


def summarized(estimates: Estimates, model: Model, name: str) -> dict[str, object]:
    """Summarize one model's values of a metric by random effects.

    Args:
        estimates: by country.
        model: its key.
        name: of a metric that has a scale between countries.

    Returns:
        n_countries (that could be summarized), value (the mean) and low to high, the 95 %
        prediction interval of the true value in a further country; nothing where there are too few.
    """
    found, _ = _combined(estimates, _by_country(estimates, model, name), _scale(name))
    if found is None:
        return {}
    back = _FROM[_scale(name)]
    bounds = {"value": found.mean, "low": found.low, "high": found.high}
    return {"n_countries": found.k} | {key: float(back(at)) for key, at in bounds.items()}


def expected_from_others(
    estimates: Estimates, model: Model, judged: Model, name: str
) -> dict[str, tuple[float, float]]:
    r"""Return the interval in which each country's value is expected from all other countries.

    :math:`\hat\mu \pm t_{k-2} \sqrt{\hat\tau^2 + SE^2 + SE_c^2}` with the random-effects summary of
    the k other countries, on the scale of the metric, and :math:`SE_c` of the country's own test
    patients: the interval is one of the value that is observed, not of the true one.

    Args:
        estimates: by country.
        model: key of the model whose values in the other countries are summarized.
        judged: key of the model whose value in the country itself is to be expected there.
        name: of a metric that has a scale between countries.

    Returns:
        95 % intervals by country; nothing of a country with too few others, or patients.
    """
    from scipy.stats import t

    scale = _scale(name)
    names, values, errors = _usable(estimates, _by_country(estimates, model, name), scale)
    own = _usable(estimates, _by_country(estimates, judged, name), scale)
    chance = dict(zip(own[0], own[2], strict=True))
    found = {}
    for i, country in enumerate(names):
        others = np.arange(len(names)) != i
        effects = combine(values[others], errors[others])
        if effects is not None and country in chance:
            spread = math.sqrt(effects.tau**2 + effects.se**2 + chance[country] ** 2)
            half = float(t.isf(0.025, effects.k - 2)) * spread
            back = _FROM[scale]
            found[country] = float(back(effects.mean - half)), float(back(effects.mean + half))
    return found


def _scale(name: str) -> Scale:
    scale = METRICS[name].between
    assert scale is not None, "the metric is summarized over countries"
    return scale


def _by_country(estimates: Estimates, model: Model, name: str) -> dict[str, Floats]:
    return {
        country: own
        for (metric, scope, country), own in estimates.values[model].items()
        if (metric, scope) == (name, "country")
    }


def _combined(
    estimates: Estimates, drawn: Mapping[str, Floats], scale: Scale
) -> tuple[RandomEffects | None, int]:
    """Return the summary of the countries that have enough patients, and how many there are in
    all."""
    _, values, errors = _usable(estimates, drawn, scale)
    defined = sum(not np.isnan(own[0]) for own in drawn.values())
    return combine(values, errors), defined


def _usable(
    estimates: Estimates, drawn: Mapping[str, Floats], scale: Scale
) -> tuple[list[str], Floats, Floats]:
    """Return countries that have enough patients, their values and standard errors, on a scale."""
    enough = {
        country: own
        for country, own in drawn.items()
        if not np.isnan(own[0]) and estimates.patients["country", country] >= MIN_PATIENTS
    }
    if not enough:
        return [], np.empty(0), np.empty(0)
    stacked = np.array(list(enough.values()))
    values, errors = stacked[:, 0], standard_errors(stacked)
    slope = _SLOPES[scale](values)
    usable = np.isfinite(slope) & np.isfinite(errors)
    names = [name for name, known in zip(enough, usable, strict=True) if known]
    return names, _TO[scale](values[usable]), (slope * errors)[usable]


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
