"""Intercepts of the sites by hand, and those of saved models."""

from __future__ import annotations

import numpy as np
import pytest

from federation_examples import STRATEGIES, tables
from ms_pfl.federation.partitions import federation_data
from ms_pfl.paradigms import Training
from ms_pfl.studies.coefficients.intercepts import site_intercepts
from ms_pfl.training.bundle import FORMAT, stamp_of
from paradigm_examples import Study, parameters

ADAPTIVE = Training("adaptive", "logistic")
SIZES = {"AU": 150, "BE": 60, "CZ": 30}
"""Episodes, of which three are a patient's: 30, 12 and 6 train."""


def test_by_hand() -> None:
    """All risks are 1/2 where u is 0: v = 1 / (n / 4 + 1 / .25)."""
    given = tables(SIZES, (0,))
    told = parameters()
    shared = {
        "coefficients": np.zeros(3),
        "intercept": np.zeros(1),
        "variance": np.array([0, 0, 0, 0.25]),
    }
    models = {
        **{f"seed=0/shared/{name}": array for name, array in shared.items()},
        "seed=0/inputs/mean": np.zeros(3),
        "seed=0/inputs/sd": np.ones(3),
        **{f"seed=0/personal/{country}/deviation": np.zeros(4) for country in SIZES},
        "format": np.array([FORMAT]),
        "stamp": stamp_of(ADAPTIVE, federation_data(*given), told),
    }
    models["seed=0/personal/BE/deviation"] = np.array([0, 0, 0, 0.3])
    found = site_intercepts(*given, {ADAPTIVE: models}, told)
    assert found["country"].tolist() == ["AU", "BE"], "CZ has six training patients"
    assert found["n_patients"].tolist() == [30, 12]
    assert found["deviation"].tolist() == [0.0, 0.3]
    assert set(found["sd_between"]) == {0.5}
    p = 1 / (1 + np.exp(-0.3))
    away = 1.959963984540054 / np.sqrt([90 / 4 + 4, 36 * p * (1 - p) + 4])
    np.testing.assert_allclose(found["low"], [0.0 - away[0], 0.3 - away[1]], rtol=1e-12)
    np.testing.assert_allclose(found["high"], [0.0 + away[0], 0.3 + away[1]], rtol=1e-12)


def test_of_saved_models_the_mean_over_seeds() -> None:
    strategies = STRATEGIES | {"logistic": {"ridge": 1.0, "steps": 100, "tolerance": 1e-10}}
    study = Study(told=parameters(strategies=strategies), tables=tables(SIZES))
    models = study.outcome(*ADAPTIVE).models
    found = site_intercepts(*study.tables, {ADAPTIVE: models}, study.told).set_index("country")
    for country in ("AU", "BE"):
        own = [models[f"seed={seed}/personal/{country}/deviation"][-1] for seed in (0, 1)]
        assert found.loc[country, "deviation"] == pytest.approx(np.mean(own), rel=1e-12)
        assert found.loc[country, "low"] < np.mean(own) < found.loc[country, "high"]
    sds = [np.sqrt(models[f"seed={seed}/shared/variance"][-1]) for seed in (0, 1)]
    np.testing.assert_allclose(found["sd_between"], np.mean(sds), rtol=1e-12)
    assert set(found["n_seeds"]) == {2}
