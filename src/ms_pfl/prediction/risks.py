"""What a predictor says of rows of features: risks over its seeds, and what drove them."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.evaluation.recalibration import ALL
from ms_pfl.names import near_names
from ms_pfl.paradigms import paradigm_row
from ms_pfl.prediction.predictor import Mixture, Predictor
from ms_pfl.training.bundle import SavedModel

PERSONAL = "personal of {}"
_DRIVERS = 3
_SMALLEST = 0.005  # of a change of the log-odds; a smaller one reads as +0.00


def risks(
    predictor: Predictor, countries: pd.Series, x: NDArray[np.float32], *, drivers: bool
) -> pd.DataFrame:
    """Risks of the outcome, each row by the model of its country.

    A seed's risk is the sigmoid of its model's log-odds, of recalibrated models plus the intercept
    of :func:`ms_pfl.evaluation.recalibration.fit_intercepts`. A group of features drives a row by
    what the log-odds lose when what the model sees of it is set to its training mean, on average
    over the seeds.

    Args:
        predictor: as read.
        countries: of each row; one that did not train gets the global model.
        x: float32, shape ``(rows, features)``, in the predictor's order; NaN = missing.
        drivers: whether to look for what drove them, which takes a pass over the rows a group.

    Returns:
        In the order of the rows, indexed from 0: model (``personal of <country>``, ``global`` or
        ``global, recalibrated for <country>`` or ``ensemble of <country>`` of those that trained;
        ``global: <country> took no part in training``, and which country of a name that looks alike
        did),
        risk (mean over the seeds), risk_low, risk_high and range, which says what these are (see
        :func:`_range_of`); with ``drivers`` also drivers, up to three groups by the
        size of their effect, such as ``EDSS level +0.82; Treatment -0.10`` (``""``: none).
    """
    n, told = len(x), predictor.description
    model = np.full(n, "", dtype=object)
    found = np.full((3, n), np.nan)
    named, meaning = np.full(n, "", dtype=object), np.full(n, "", dtype=object)
    columns = {group: np.isin(told.features, names) for group, names in predictor.groups.items()}
    for key, rows in sorted(pd.Series(range(n)).groupby(countries.to_numpy()).indices.items()):
        country = str(key)
        trained = country in predictor.personal
        model[rows] = _served(predictor, country) if trained else _not_trained(predictor, country)
        models: Mapping[int, Mixture | SavedModel] = (
            predictor.personal[country] if trained else predictor.shared
        )
        corrected = country if trained else ALL
        logits = {seed: own.logits(x[rows]) for seed, own in models.items()}
        p = np.array(
            [1 / (1 + np.exp(-(told.intercepts[s][corrected] + logits[s]))) for s in models]
        )
        risk = np.clip(p.mean(axis=0), p.min(axis=0), p.max(axis=0))
        refits = predictor.replicates(country if trained else None)
        low, high = interval(risk, refits, x[rows]) if refits else (p.min(axis=0), p.max(axis=0))
        found[:, rows], meaning[rows] = (risk, low, high), _range_of(len(refits), len(models))
        if drivers:
            named[rows] = _drivers(_effects(models, logits, x[rows], columns), list(columns))
    table = pd.DataFrame(
        {"model": pd.Series(model, dtype="str")}
        | dict(zip(("risk", "risk_low", "risk_high"), found, strict=True))
        | {"range": pd.Series(meaning, dtype="str")}
    )
    return table.assign(drivers=pd.Series(named, dtype="str")) if drivers else table


def _range_of(n_refits: int, n_seeds: int) -> str:
    """Return what a range is, in words."""
    if n_refits:
        return f"95 %, bootstrap of training patients ({n_refits})"
    return f"lowest and highest of {n_seeds} seeds" if n_seeds > 1 else "none: one seed"


def interval(
    risk: NDArray[np.float64], refits: Sequence[Mixture], x: NDArray[np.float32]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Return the 95 % interval of some risks.

    :math:`\mathrm{logit}\,p \mp t_{.975,\,R - 1}\,s` with :math:`s` the standard deviation of the
    log-odds that the models of ``R`` draws give (Davison and Hinkley, 1997, section 5.2). It holds
    the risk whatever ``R`` is, where percentiles of some tens of draws would be mostly chance. An
    intercept that is added moves all draws alike and leaves :math:`s` as it is.

    Args:
        risk: shape ``(rows,)``.
        refits: a model per draw of training patients.
        x: features, shape ``(rows, features)``.
    """
    from scipy.special import expit, logit
    from scipy.stats import t

    spread = np.std([model.logits(x) for model in refits], axis=0, ddof=1)
    half = float(t.ppf(0.975, len(refits) - 1)) * spread
    low, high = expit(logit(risk) - half), expit(logit(risk) + half)
    return np.minimum(low, risk), np.maximum(high, risk)  # which rounding may have parted


def _served(predictor: Predictor, country: str) -> str:
    """Return what serves a country that trained, in words."""
    role = paradigm_row(predictor.description.prediction.of(country).paradigm).role
    words = {"global": "global", "recalibrated": "global, recalibrated for {}"}
    return words.get(role, "ensemble of {}" if role == "ensemble" else PERSONAL).format(country)


def _not_trained(predictor: Predictor, country: str) -> str:
    alike = near_names(country, predictor.description.countries)
    hint = f" ({' and '.join(alike)} did)" if alike else ""
    return f"global: {country} took no part in training{hint}"


def _effects(
    models: Mapping[int, Mixture | SavedModel],
    logits: Mapping[int, NDArray[np.float64]],
    x: NDArray[np.float32],
    columns: Mapping[str, NDArray[np.bool_]],
) -> NDArray[np.float64]:
    """Return what each group adds to the log-odds; shape ``(groups, rows)``."""
    effects = np.empty((len(columns), len(x)))
    for i, of_group in enumerate(columns.values()):
        changes = [
            logits[seed] - model.logits_without(x, of_group) for seed, model in models.items()
        ]
        effects[i] = np.mean(changes, axis=0)
    return effects


def _drivers(effects: NDArray[np.float64], groups: list[str]) -> list[str]:
    """Return the strongest groups of each row in words."""
    order = np.argsort(-np.abs(effects), axis=0, kind="stable")[:_DRIVERS]
    return [
        "; ".join(
            f"{groups[i]} {effects[i, row]:+.2f}"
            for i in order[:, row]
            if abs(effects[i, row]) >= _SMALLEST
        )
        for row in range(effects.shape[1])
    ]
