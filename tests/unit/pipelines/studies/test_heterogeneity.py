"""The pipeline of the heterogeneity study, through Kedro on tiny registries."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from ms_pfl.datasets import ParquetTable
from ms_pfl.federation.parameters import CheckpointParameters, RayParameters
from ms_pfl.pipelines.studies.pipeline import create_heterogeneity_pipeline
from ms_pfl.studies.heterogeneity.train import COLUMNS, SCOPES, TRAININGS
from ms_pfl.training.resume import UnfinishedTrainings
from paradigm_examples import parameters
from support import read_parameters


def test_from_registries_to_figure_and_table(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = read_parameters("smoke")
    study = base.heterogeneity_study.model_copy(
        update={"knobs": (1.0,), "n_patients": 200, "ways": {}, "data_seeds": (1, 2)}
    )
    given: dict[str, object] = {
        "unfinished": UnfinishedTrainings(tmp_path),
        "params:synthetic_registry": base.synthetic_registry.model_copy(
            update={"min_patients_per_country": 6}
        ),
        "params:heterogeneity_study": study,
        "params:cohort": base.cohort,
        "params:splits": base.splits,
        "params:seeds": (3, 4),
        "params:training": parameters(),
        "params:device": "cpu",
        "params:ray": RayParameters(num_workers=0, address=None),
        "params:checkpoints": CheckpointParameters(every_rounds=1),
    }
    catalog = DataCatalog({name: MemoryDataset(value) for name, value in given.items()})
    scores = ParquetTable(filepath=str(tmp_path / "scores.parquet"))
    catalog["heterogeneity_scores"] = scores
    with caplog.at_level(logging.INFO):
        made = SequentialRunner().run(create_heterogeneity_pipeline(), catalog)
    found: pd.DataFrame = scores.load()
    assert list(found.columns) == list(COLUMNS)
    assert len(found) == 2 * len(TRAININGS) * len(SCOPES)
    assert set(found["data_seed"]) == {1, 2}
    table: pd.DataFrame = made["heterogeneity_table"].load()
    assert table["ROC-AUC"].tolist() == ["pooled", "macro", "size-weighted"]
    assert "Knobs x 1, pooled ROC-AUC against the federated model" in caplog.text
