"""Recalibration against the penalized likelihood, maximized by scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize

from ms_pfl.errors import InputError
from ms_pfl.evaluation.bootstrap import draw_patients
from ms_pfl.evaluation.calibration import fit_recalibration, logit
from ms_pfl.evaluation.evaluate import evaluate
from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.evaluation.recalibration import recalibrate
from ms_pfl.evaluation.scoring import check_predictions
from patients_factory import risks


def firth(labels: np.ndarray, design: np.ndarray, offset: np.ndarray | float) -> np.ndarray:
    """The penalized likelihood, maximized as it is written down."""

    def loss(theta: np.ndarray) -> float:
        eta = design @ theta + offset
        p = 1 / (1 + np.exp(-eta))
        information = design.T @ (design * (p * (1 - p))[:, None])
        likelihood = np.sum(labels * eta - np.logaddexp(0, eta))
        return float(-likelihood - 0.5 * np.linalg.slogdet(information)[1])

    start = np.array([0.0, 1.0])[: design.shape[1]]
    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 5000}
    return np.asarray(minimize(loss, start, method="Nelder-Mead", options=options).x)


@pytest.mark.parametrize("n", [6, 40])
@pytest.mark.parametrize("seed", range(4))
def test_recalibration_maximizes_firths_likelihood(n: int, seed: int) -> None:
    labels, p = risks(n, seed, shift=-0.5)
    x = logit(p)
    a, b = fit_recalibration(labels, x, slope=False)
    assert b == 1
    assert a == pytest.approx(firth(labels, np.ones((n, 1)), x)[0], abs=1e-5)
    if len(set(labels)) == 2:
        found = fit_recalibration(labels, x, slope=True)
        expected = firth(labels, np.column_stack([np.ones(n), x]), 0.0)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_recalibration_without_a_class_or_an_episode() -> None:
    x = logit(np.array([0.2, 0.4, 0.3]))
    a, b = fit_recalibration(np.zeros(3, dtype=int), x, slope=True)
    assert np.isfinite(a)
    assert a < 0
    assert b == 1
    assert fit_recalibration(np.zeros(0, dtype=int), np.zeros(0), slope=True) == (0.0, 1.0)


def test_risks_that_are_all_alike_have_no_slope() -> None:
    labels = np.array([0, 1, 1, 0, 1])
    alike = np.full(5, -0.4)
    intercept, slope = fit_recalibration(labels, alike, slope=True)
    assert slope == 1
    assert intercept == pytest.approx(fit_recalibration(labels, alike, slope=False)[0])


def test_each_country_is_corrected_by_its_own_validation_rows() -> None:
    labels, p = risks(400, 2)
    rows = pd.DataFrame(
        {
            "paradigm": "federated", "strategy": "fedavg", "seed": 0,
            "country": np.repeat(["A", "B"], 200), "patient_id": [f"p{i}" for i in range(400)],
            "episode_id": [f"e{i}" for i in range(400)],
            "split": np.tile(["validation", "test"], 200), "label": labels,
            # B's risks are a logit too high, A's as they should be
            "probability": 1 / (1 + np.exp(-(logit(p) + np.repeat([0, 1.0], 200)))),
        }
    )  # fmt: skip
    others = rows.assign(paradigm="adaptive")
    found = recalibrate(pd.concat([rows, others]))
    assert list(found.columns) == list(rows.columns)
    assert found["paradigm"].unique().tolist() == ["recalibrated", "recalibrated_slope"]
    own = found[found["paradigm"] == "recalibrated"].reset_index(drop=True)
    moved = logit(own["probability"].to_numpy()) - logit(rows["probability"].to_numpy())
    for part in (slice(0, 200), slice(200, 400)):
        assert np.ptp(moved[part]) < 1e-9, "one intercept per country"
    assert moved[0] == pytest.approx(0, abs=0.5)
    assert moved[200] == pytest.approx(-1, abs=0.5)
    # test labels have no say
    flipped = rows.assign(label=np.where(rows["split"] == "test", 1 - labels, labels))
    again = recalibrate(flipped)
    np.testing.assert_array_equal(again["probability"], found["probability"])
    # a country that nothing is known of is moved as all together are
    unknown = recalibrate(rows[(rows["country"] == "B") | (rows["split"] == "test")])
    own = unknown[(unknown["country"] == "A") & (unknown["paradigm"] == "recalibrated")]
    of_a = rows[(rows["country"] == "A") & (rows["split"] == "test")]
    moved = logit(own["probability"].to_numpy()) - logit(of_a["probability"].to_numpy())
    np.testing.assert_allclose(moved, moved[0])
    assert moved[0] == pytest.approx(-1, abs=0.5)
    with pytest.raises(InputError, match="no predictions of the paradigm 'federated'"):
        recalibrate(others)


def sites(spread: float, seed: int, n_sites: int = 10, patients: int = 200) -> pd.DataFrame:
    """Federated predictions of sites whose true intercepts differ; two episodes per patient."""
    random = np.random.default_rng(seed)
    offsets = random.normal(0, spread, n_sites)
    people = np.repeat(np.arange(n_sites * 2 * patients), 2)
    site = people // (2 * patients)
    z = random.normal(-1, 1, n_sites * 2 * patients)[people] + random.normal(0, 0.3, len(people))
    label = (random.random(len(people)) < 1 / (1 + np.exp(-(z + offsets[site])))).astype(np.int8)
    return pd.DataFrame(
        {
            "paradigm": "federated", "strategy": "fedavg", "seed": 0,
            "country": [f"S{i:02d}" for i in site], "patient_id": people.astype(str),
            "episode_id": [f"e{i}" for i in range(len(people))],
            "split": np.where(people % (2 * patients) < patients, "validation", "test"),
            "label": label, "probability": 1 / (1 + np.exp(-z)),
        }
    )  # fmt: skip


def gained(rows: pd.DataFrame) -> pd.DataFrame:
    """Log-loss and Brier score of recalibrated against federated, with intervals."""
    test = check_predictions(pd.concat([rows, recalibrate(rows)], ignore_index=True))
    chosen = [METRICS["log_loss"], METRICS["brier"]]
    found = evaluate(test, ("pooled",), draw_patients(test, 200, 0), metrics=chosen)
    pair = ("recalibrated", "fedavg"), ("federated", "fedavg")
    return found.differences([pair]).set_index("metric")


def test_recalibration_gains_where_sites_differ() -> None:
    assert (gained(sites(0.5, 1))["high"] < 0).all()


def test_recalibration_does_next_to_no_harm_where_they_do_not() -> None:
    found = [gained(sites(0.0, seed, patients=60)) for seed in range(4)]
    assert np.mean([one.loc["log_loss", "difference"] for one in found]) < 0.0005
    assert max(one.loc["log_loss", "difference"] for one in found) < 0.002
