"""Draws of training patients: by hand, in any order of tables and sites, and what is refitted."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from federation_examples import FEATURES, tables
from ms_pfl.federation.partitions import federation_data
from ms_pfl.learning.seeds import derive_seed
from ms_pfl.paradigms import Training
from ms_pfl.training.bundle import ModelBundle
from ms_pfl.training.resampling import can_be_refitted, draw_patients, refit, resample
from paradigm_examples import parameters

FEDERATED, FINE_TUNED = Training("federated", "logistic"), Training("fine_tuned", "logistic")
NEARLY_NO_RIDGE = 1e-3


def test_a_patient_comes_with_all_rows_as_often_as_drawn() -> None:
    patients = np.array([4, 7, 7, 9, 4], np.int32)
    rows = {0: [0, 4], 1: [1, 2], 2: [3]}  # of the first, second and third patient
    for replicate in range(6):
        random = np.random.default_rng(derive_seed(3, "Peru", "bootstrap", replicate))
        drawn = random.integers(0, 3, 3)
        found, numbers = draw_patients(patients, 3, "Peru", replicate)
        assert found.tolist() == [row for i in drawn for row in rows[int(i)]]
        assert numbers.tolist() == [at for at, i in enumerate(drawn) for _ in rows[int(i)]]


def test_patients_are_drawn_evenly_and_each_country_and_draw_has_its_own() -> None:
    patients = np.repeat(np.arange(5, dtype=np.int32), 2)
    counts = np.zeros(5)
    for replicate in range(400):
        found, _ = draw_patients(patients, 0, "Peru", replicate)
        counts += np.bincount(patients[found], minlength=5) / 2
    assert counts.sum() == 2000
    # binomial: 400 expected of each, sd 18
    assert np.abs(counts - 400).max() < 4 * 18
    first = draw_patients(patients, 0, "Peru", 0)[0].tolist()
    others = [
        draw_patients(patients, *told)[0].tolist()
        for told in ((0, "Peru", 1), (1, "Peru", 0), (0, "Chile", 0))
    ]
    assert all(other != first for other in others)


def test_validation_rows_stay_and_nothing_is_tested() -> None:
    data = federation_data(*tables())
    drawn = resample(data, 1, 0)
    assert drawn.seeds == (1,)
    for name, rows in data.countries.items():
        before, after = rows.client_data(1), drawn.countries[name].client_data(1)
        np.testing.assert_array_equal(after.validation.x, before.validation.x)
        np.testing.assert_array_equal(after.validation.y, before.validation.y)
        assert len(after.test.y) == 0
        assert len(np.unique(after.train.patients)) == len(np.unique(before.train.patients))
        assert not set(after.train.patients) & set(after.validation.patients)
        known = {row.tobytes() for row in before.train.x}
        assert {row.tobytes() for row in after.train.x} < known, "some patients were not drawn"


def test_order_of_rows_and_other_countries_change_nothing() -> None:
    episodes, splits = tables()
    whole = resample(federation_data(episodes, splits), 0, 5).countries["BE"]
    kept = episodes["country"].isin(["BE", "CZ"])
    turned = federation_data(
        episodes[kept][::-1],
        splits[splits["country"].isin(["BE", "CZ"])].sample(frac=1, random_state=0),
    )
    alone = resample(turned, 0, 5).countries["BE"]
    np.testing.assert_array_equal(whole.x, alone.x)
    np.testing.assert_array_equal(whole.y, alone.y)
    np.testing.assert_array_equal(whole.patient_codes, alone.patient_codes)


@pytest.mark.parametrize("strategy", ["logistic", "trees"])
def test_a_refit_is_a_function_of_seed_and_draw(strategy: str) -> None:
    data = federation_data(*tables())
    federated, adaptive = Training("federated", strategy), Training("adaptive", strategy)
    rows = {federated: data, adaptive: data}
    told = parameters()
    both = refit([adaptive, federated], rows, told, 0, 1)
    assert list(both) == [adaptive, federated]
    (alone,) = refit([federated], rows, told, 0, 1).values()
    assert alone.keys() == both[federated].keys()
    for name, array in alone.items():
        assert array.tobytes() == both[federated][name].tobytes()
    (other,) = refit([federated], rows, told, 0, 2).values()
    assert any(array.tobytes() != other[name].tobytes() for name, array in alone.items())
    assert ModelBundle(alone, federated, told).seeds == (0,)


def test_what_starts_from_another_starts_from_its_fit_to_the_same_draw() -> None:
    data, told = federation_data(*tables()), parameters()
    rows = {FEDERATED: data, FINE_TUNED: data}
    strong = parameters(
        strategies=told.strategies.model_dump()
        | {"logistic": told.strategies.logistic.model_dump() | {"strengths": [1e12]}}
    )
    found = refit([FINE_TUNED, FEDERATED], rows, strong, 0, 3)
    assert list(refit([FINE_TUNED], rows, strong, 0, 3)) == [FINE_TUNED]
    x = np.random.default_rng(0).normal(2, 3, size=(5, 3)).astype(np.float32)
    start = ModelBundle(found[FEDERATED], FEDERATED, strong).model(0, "").logits(x)
    for country in data.countries:
        own = ModelBundle(found[FINE_TUNED], FINE_TUNED, strong).model(0, country).logits(x)
        np.testing.assert_allclose(own, start, atol=1e-6)  # such a pull leaves them there


def test_networks_are_not_refitted() -> None:
    assert can_be_refitted(FEDERATED)
    assert can_be_refitted(Training("local", "trees"))
    assert not can_be_refitted(Training("federated", "fedavg"))
    assert not can_be_refitted(Training("local", "none"))


def test_the_spread_is_that_of_statsmodels() -> None:
    """The same draw gives the fit of statsmodels; many, the standard error clustered by patient."""
    episodes, splits = tables({"AU": 240, "BE": 360}, seeds=(0,))
    # with few steps of a wide class, so that no draw separates the classes
    noise = np.random.default_rng(1).random(len(episodes)) < 0.3
    episodes["label"] = np.where(noise, 1 - episodes["label"], episodes["label"]).astype(np.int8)
    episodes[FEATURES] = episodes[FEATURES].fillna(1.0)
    told = parameters()
    told = parameters(
        strategies=told.strategies.model_dump()
        | {"logistic": told.strategies.logistic.model_dump() | {"ridge": NEARLY_NO_RIDGE}}
    )
    data = federation_data(episodes, splits)
    asked = episodes[FEATURES].to_numpy(np.float32)[::40]
    logits = []
    for draw in range(40):
        (arrays,) = refit([FEDERATED], {FEDERATED: data}, told, 0, draw).values()
        logits.append(ModelBundle(arrays, FEDERATED, told).model(0, "").logits(asked))
    drawn = [rows.client_data(0).train for rows in resample(data, 0, 0).countries.values()]
    x = sm.add_constant(np.concatenate([one.x for one in drawn]).astype(float))
    fit = sm.GLM(np.concatenate([one.y for one in drawn]), x, sm.families.Binomial()).fit()
    design = np.column_stack([np.ones(len(asked)), asked])
    np.testing.assert_allclose(design @ fit.params, logits[0], atol=2e-3)

    of_seed = episodes.merge(splits[splits["split"] == "train"][["patient_id", "country"]])
    whole = sm.GLM(
        of_seed["label"], sm.add_constant(of_seed[FEATURES].astype(float)), sm.families.Binomial()
    ).fit(cov_type="cluster", cov_kwds={"groups": pd.factorize(of_seed["patient_id"])[0]})
    covariance = np.asarray(whole.cov_params())
    expected = np.sqrt(np.einsum("ij,jk,ik->i", design, covariance, design))
    ratio = np.std(logits, axis=0, ddof=1) / expected
    # a spread of 40 draws is off by 11 %
    assert 0.8 < ratio.mean() < 1.25
    assert ratio.min() > 0.6
    assert ratio.max() < 1.6
