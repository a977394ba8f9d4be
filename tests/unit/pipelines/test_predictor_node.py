"""The node that makes the predictor, with the parameters as Kedro hands them in."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from cohort_examples import parameters as cohort_parameters
from federation_examples import FEATURES, tables
from ms_pfl.evaluation.choice import choose
from ms_pfl.federation.partitions import federation_data
from ms_pfl.paradigms import Training
from ms_pfl.pipelines.prediction.nodes import make_predictor
from ms_pfl.prediction.parameters import FEWEST_DRAWS, PredictionParameters
from ms_pfl.prediction.risks import risks
from ms_pfl.training.resampling import refit
from paradigm_examples import Study

LOGISTIC = Training("federated", "logistic")


def test_the_setting_decides_on_the_range(caplog: pytest.LogCaptureFixture) -> None:
    episodes, splits = tables()
    study = Study(tables=(episodes, splits))
    outcome = study.outcome(*LOGISTIC)
    choice = choose(outcome.predictions, "federated", "logistic").model_dump(mode="json")
    columns = {"columns": FEATURES, "levels": {}, "numbers": FEATURES, "missing": ()}
    description = {"source": {"kind": "own", "description": "three"}, "vocabulary": columns}

    def made(draws: int):  # type: ignore[no-untyped-def]
        told = PredictionParameters(
            paradigm="federated", strategy="logistic", bootstrap_patients=draws
        )
        return make_predictor(
            episodes, splits, description, {LOGISTIC: outcome.models}, outcome.predictions,
            choice, cohort_parameters(), study.told, told,
        ).predictor  # fmt: skip

    x = episodes[FEATURES].to_numpy(np.float32)[::9]
    countries = episodes["country"][::9]
    without = risks(made(0), countries, x, drivers=False)
    assert set(without["range"]) == {"lowest and highest of 2 seeds"}
    assert "Refitting" not in caplog.text
    with caplog.at_level(logging.INFO):
        predictor = made(FEWEST_DRAWS)
    assert "Refitting Federated logistic regression to 20 draws of training patients" in caplog.text
    found = risks(predictor, countries, x, drivers=False)
    assert set(found["range"]) == {"95 %, bootstrap of training patients (20)"}
    assert found["risk"].tolist() == without["risk"].tolist(), "the draws are for the range alone"
    # the draws are those of the first seed, by number
    data = federation_data(episodes, splits)
    (arrays,) = refit([LOGISTIC], {LOGISTIC: data}, study.told, 0, 7).values()
    for name, array in arrays.items():
        kept = predictor.arrays[f"bootstrap=7/federated.logistic/{name}"]
        assert kept.tobytes() == array.tobytes()
