"""Folders as datasets: what loading reads, what saving leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kedro.io.core import DatasetError

from cohort_examples import random_registry
from ms_pfl.datasets import EarlierFile, PredictorFolder, RegistryFolder, Unfinished
from ms_pfl.prediction.making import Made
from ms_pfl.registry.ingest.tables import read_folder
from ms_pfl.training.resume import UnfinishedTrainings
from prediction_examples import logistic_predictor


def test_the_file_of_an_earlier_run_is_neither_read_nor_written(tmp_path: Path) -> None:
    path = tmp_path / "episodes.parquet"
    dataset = EarlierFile(str(path))
    assert dataset.load() == path
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="is not written as this dataset"):
        dataset.save(path)
    path.touch()
    assert dataset.exists()


def test_a_registry_is_written_with_its_source_or_not_at_all(tmp_path: Path) -> None:
    dataset = RegistryFolder(str(tmp_path / "registry"))
    dataset.save({})
    assert not dataset.exists()
    assert list(tmp_path.iterdir()) == []
    source = {"kind": "synthetic", "description": "random"}
    dataset.save(vars(random_registry(1, n_patients=5)) | {"source": source})
    assert dataset.exists()
    assert dataset.load() == tmp_path / "registry"
    assert {path.name for path in dataset.load().iterdir()} == {
        "patients.parquet", "visits.parquet", "relapses.parquet", "treatments.parquet",
    }  # fmt: skip
    assert read_folder(dataset.load()).source == source


def test_a_run_without_a_predictor_removes_the_one_before(tmp_path: Path) -> None:
    dataset = PredictorFolder(str(tmp_path / "predictor"))
    dataset.save(Made(logistic_predictor()))
    assert dataset.exists()
    dataset.save(Made(None))
    assert not dataset.exists()
    assert list(tmp_path.iterdir()) == []


def test_unfinished_trainings_are_one_object_and_go_at_the_end(tmp_path: Path) -> None:
    dataset = Unfinished(str(tmp_path / "unfinished"))
    assert dataset.exists()
    trainings = dataset.load()
    assert isinstance(trainings, UnfinishedTrainings)
    assert dataset.load() is trainings
    with pytest.raises(DatasetError, match="is not written as this dataset"):
        dataset.save(np.zeros(1))
