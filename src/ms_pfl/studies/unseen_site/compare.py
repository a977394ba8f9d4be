"""How well is a country served that never took part, and what do its own patients add?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.evaluation.bootstrap import Resamples, draw_patients
from ms_pfl.evaluation.calibration import calibration_intercept, calibration_slope
from ms_pfl.evaluation.names import HIGHER_IS_BETTER
from ms_pfl.evaluation.replicates import HeldOutRows, ModelReplicates, replicate_fit
from ms_pfl.evaluation.uncertainty import Bootstrap

NONE, ALL = "0", "all"
#: Whose model: the others' alone; trained on from it; from scratch; of the federation with all.
KINDS = ("global", "personal", "local", "took_part")
#: What is compared with what.
PAIRS = (
    ("personal", "global"),
    ("personal", "local"),
    ("local", "global"),
    ("took_part", "global"),
    ("took_part", "personal"),
)
ESTIMATES_COLUMNS = [
    "kind", "size", "n_patients", "scope", "country", "metric", "value", "low", "high",
    "n_countries",
]  # fmt: skip
DIFFERENCES_COLUMNS = [
    "kind", "reference", "size", "n_patients", "scope", "country", "metric", "difference", "low",
    "high", "n_countries", "n_better",
]  # fmt: skip
_SCOPES = ("pooled", "macro", "country")
_DIFFERENCES = ("roc_auc", "brier", "log_loss")
_BY_COUNTRY = {
    "calibration_intercept": calibration_intercept,
    "calibration_slope": calibration_slope,
}
_ROW = ["seed", "country", "patient_id", "episode_id"]
_ROUNDING = 1e-12
_SAME = 1e-5


def measure(
    predictions: pd.DataFrame, test_predictions: pd.DataFrame, replicates: int, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score every model of every size, and subtract what it is compared with.

    What is compared at a size is scored on the same test rows: those of the countries that have so
    many patients. A replicate draws patients within countries once for all models, seeds and sizes.

    Args:
        predictions: kind (``took_part``, ``global``, ``personal``, ``local``), size (``0``, numbers
            of patients, ``all``), strategy, seed, country, n_patients, patient_id, episode_id,
            label, probability; test rows of the countries that were left out.
        test_predictions: of the run in which all countries took part; its federated model of the
            same strategy is seen to be ``took_part``.
        replicates: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        ``estimates``, a row a kind (also ``took_part``), size, scope (pooled, macro, country),
        country and metric: n_patients (of the country that were trained on, mean over countries and
        seeds), value (mean over seeds), low and high (95 % percentile interval; NaN where there are
        too few patients, and for calibration by country), n_countries (behind the value).
        ``differences``, kind minus reference (``PAIRS``) in ROC-AUC, Brier score and log-loss, with
        the interval of the replicates' differences; n_better: countries that gain (macro alone).

    Raises:
        InputError: the run in which all took part had another model, or tested other rows.
    """
    models = _by_model(predictions, test_predictions)
    resamples = draw_patients(predictions, replicates, seed)
    estimates: list[tuple[object, ...]] = []
    differences: list[tuple[object, ...]] = []
    for size in sizes_in_order(predictions):
        of_size = {kind: rows for (kind, of), rows in models.items() if of == size}
        # what a size is about; all of its models are compared on these rows
        base = of_size.get("personal", models["global", NONE])
        for kind in ("global", "took_part"):
            if kind not in of_size:
                of_size[kind] = models[kind, NONE].loc[base.index]
        bootstrap = _replicated(of_size, base, resamples, seed)
        patients = base.reset_index().drop_duplicates(["seed", "country"])
        trained_on = patients.groupby("country")["n_patients"].mean()
        n = {"": float(trained_on.mean()), **{str(k): float(v) for k, v in trained_on.items()}}
        estimates += _estimates(size, of_size, bootstrap, n)
        differences += _differences(size, bootstrap, n)
    tables = (
        pd.DataFrame.from_records(estimates, columns=ESTIMATES_COLUMNS),
        pd.DataFrame.from_records(differences, columns=DIFFERENCES_COLUMNS),
    )
    texts = ("kind", "reference", "size", "scope", "country", "metric")
    first, second = (
        table.astype({name: "str" for name in texts if name in table}) for table in tables
    )
    return first, second


def sizes_in_order(table: pd.DataFrame) -> list[str]:
    """The sizes of a table: 0 first, rising, ``all`` last.

    >>> sizes_in_order(pd.DataFrame({"size": ["all", "100", "0", "50", "50"]}))
    ['0', '50', '100', 'all']
    """
    names = {str(size) for size in table["size"]}
    return [*sorted(names - {ALL}, key=int), *sorted(names & {ALL})]


def pays_from(
    differences: pd.DataFrame,
    metric: str = "log_loss",
    scope: str = "macro",
    country: str = "",
    kind: str = "personal",
    reference: str = "global",
) -> str | None:
    """The smallest size from which on the whole interval of the gain is on the good side.

    Args:
        differences: of :func:`measure`.
        metric: by which it is judged.
        scope: pooled, macro or country.
        country: of scope country.
        kind: which model is asked to pay.
        reference: over which.

    Returns:
        The size; None where already the largest size has no such interval.
    """
    asked = {
        "metric": metric, "scope": scope, "country": country, "kind": kind, "reference": reference,
    }  # fmt: skip
    own = differences[np.all([differences[name] == value for name, value in asked.items()], axis=0)]
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    bounds = sign * own[["low", "high"]].to_numpy(dtype=np.float64)
    good = dict(zip(own["size"], bounds.min(axis=1) > 0, strict=True))
    found = None
    for size in reversed(sizes_in_order(own)):
        if not good[size]:
            break
        found = size
    return found


def _by_model(
    predictions: pd.DataFrame, test_predictions: pd.DataFrame
) -> dict[tuple[str, str], pd.DataFrame]:
    """The rows of each kind and size, by seed, country, patient and episode, in their order."""
    models = {
        (str(kind), str(size)): rows.set_index(_ROW).sort_index()
        for (kind, size), rows in predictions.groupby(["kind", "size"], sort=True)
    }
    took_part = models["took_part", NONE]
    strategy = predictions["strategy"].iloc[0]
    federated = test_predictions[
        (test_predictions["paradigm"] == "federated")
        & (test_predictions["strategy"] == strategy)
        & test_predictions["country"].isin(set(predictions["country"]))
    ]
    told = federated.set_index(_ROW).sort_index()
    values = ["label", "probability"]
    # in another batch the last bits of a network's float32 may differ
    same = told.index.equals(took_part.index) and np.allclose(
        told[values], took_part[values], rtol=0, atol=_SAME
    )
    if not same:
        raise InputError(
            f"new_country: test_predictions, which the report is made from, are not those of the "
            f"federated model ({strategy}) that all countries took part in; run `kedro run "
            "--pipeline=pfl` with the present settings first"
        )
    return models


def _replicated(
    of_size: dict[str, pd.DataFrame], base: pd.DataFrame, resamples: Resamples, seed: int
) -> Bootstrap:
    """The replicates of a size's models on the rows of ``base``."""
    fits: dict[str, list] = {kind: [] for kind in KINDS if kind in of_size}
    for split in base.index.unique("seed"):
        rows = base.loc[[split]].reset_index()
        held_out = HeldOutRows.of(rows, resamples, seed)
        for kind, own in fits.items():
            p = of_size[kind].loc[[split], "probability"].to_numpy()
            own.append(replicate_fit(held_out, p))
    patients = base.reset_index()[["country", "patient_id"]].drop_duplicates()["country"]
    return Bootstrap(
        {(kind, ""): ModelReplicates.over_seeds(own) for kind, own in fits.items()},
        {str(country): int(n) for country, n in patients.value_counts().items()},
    )


def _estimates(
    size: str, of_size: dict[str, pd.DataFrame], bootstrap: Bootstrap, n: dict[str, float]
) -> Iterator[tuple[object, ...]]:
    for (kind, _), model in bootstrap.models.items():
        names = [name for name in model.values if name[1] in _SCOPES]
        bounds = bootstrap.intervals(names, np.array([model.values[name] for name in names]))
        behind = pd.Series([metric for metric, scope, _ in names if scope == "country"])
        for (metric, scope, country), (low, high) in zip(names, bounds, strict=True):
            value = float(model.values[metric, scope, country][0])
            n_countries = {"pooled": len(n) - 1, "country": 1}.get(scope, (behind == metric).sum())
            yield (kind, size, n[country], scope, country, metric, value, low, high, n_countries)
        for name, rows in of_size[kind].groupby(level="country"):
            for metric, function in _BY_COUNTRY.items():
                values = [
                    function(own["label"].to_numpy(), own["probability"].to_numpy())
                    for _, own in rows.groupby(level="seed")
                ]
                finite = [value for value in values if np.isfinite(value)]
                if finite:
                    place, mean = str(name), float(np.mean(finite))
                    yield (kind, size, n[place], "country", place, metric, mean, np.nan, np.nan, 1)


def _differences(
    size: str, bootstrap: Bootstrap, n: dict[str, float]
) -> Iterator[tuple[object, ...]]:
    for kind, reference in PAIRS:
        if not {(kind, ""), (reference, "")} <= bootstrap.models.keys():
            continue
        own, base = (bootstrap.models[name, ""].values for name in (kind, reference))
        names = [
            name for name in own if name in base and name[0] in _DIFFERENCES and name[1] in _SCOPES
        ]
        gained = np.array([own[name] - base[name] for name in names])
        gained[np.abs(gained) < _ROUNDING] = 0.0
        bounds = bootstrap.intervals(names, gained)
        for i, (metric, scope, country) in enumerate(names):
            behind = _of_countries(metric, names, gained)
            better = behind > 0 if HIGHER_IS_BETTER[metric] else behind < 0
            counts = {"pooled": (len(n) - 1, np.nan), "country": (1, np.nan)}
            yield (
                kind, reference, size, n[country], scope, country, metric, float(gained[i, 0]),
                *bounds[i], *counts.get(scope, (len(behind), float(better.sum()))),
            )  # fmt: skip


def _of_countries(
    metric: str, names: Sequence[tuple[str, str, str]], gained: np.ndarray
) -> np.ndarray:
    """The countries' own differences of a metric, as observed."""
    own = [i for i, name in enumerate(names) if name[:2] == (metric, "country")]
    return np.asarray(gained[own, 0])
