"""The coverage of odds ratios is counted on labels that the benchmark draws itself."""

from __future__ import annotations

from federation_examples import tables
from ms_pfl.federation.partitions import federation_data
from ms_pfl.learning.parameters import LogisticParameters
from ms_pfl.paradigms import Training
from ms_pfl.training.bundle import ModelBundle
from odds_ratio_coverage import coverage
from paradigm_examples import Study

FEDERATED = Training("federated", "logistic")
TOLD = LogisticParameters(ridge=0.0, steps=25, tolerance=1e-8)


def test_intervals_of_many_patients_hold_nearly_what_they_say() -> None:
    study = Study(tables=tables({"AU": 1500}, (0,)))
    data = federation_data(*study.tables)
    models = study.outcome(*FEDERATED).models
    truth = ModelBundle.of(models, FEDERATED, study.told, data, "cpu").starts()[0]
    found = coverage(data, truth, TOLD, (0,), 60)
    assert 0.88 < found.odds_ratios <= 1.0
    assert 0.88 < found.curves <= 1.0
