"""What goes into the runs in MLflow, before any store is asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from model_examples import one_history, two_fits
from ms_pfl.paradigms import Training
from ms_pfl.tracking import record
from ms_pfl.tracking.record import RunRecord, build_record

TABLES = {name: pd.DataFrame({name: [1]}) for name in record.TABLES} | {
    "table1": pd.DataFrame({"Model": ["Local"], "ROC-AUC": ["0.7"]}),
    "metrics": two_fits(),
}
EPISODES = pd.DataFrame(
    {
        "episode_id": ["a@1", "b@1", "c@1"],
        "patient_id": ["a", "b", "c"],
        "country": ["A", "A", "B"],
        "label": np.array([1, 0, 1], np.int8),
        "x": np.array([1, np.nan, 3], np.float32),
    }
)
SPLITS = pd.DataFrame(
    {"patient_id": ["a", "b", "c"], "country": ["A", "A", "B"], "seed": 0, "split": "train"}
)
ARRAYS = {
    "format": np.array([2]),
    "seed=0/shared/w": np.array([1.0]),
    "seed=1/shared/w": np.array([2.0]),
    "seed=10/shared/w": np.array([3.0]),
}


def build(folder: Path, scaling: str = "federated", **more: Any) -> RunRecord:
    given: dict[str, Any] = {
        "tables": TABLES,
        "headline": ["A_B is better."],
        "notes": ["Below *it*."],
        "figures": ["forest"],
        "episodes": EPISODES,
        "splits": SPLITS,
        "source": "simulated",
        "features": ["x"],
        "settings": {"protocol": {"scaling": scaling}},
        "predictor": folder / "predictor",
        "history": one_history(),
        # two trainings of which nothing is known here but their names
        "models": {
            Training("a_new_paradigm", "fedavg"): ARRAYS,
            Training("local", "a_new_learner"): ARRAYS,
        },
    }
    return build_record(**given | more)


def test_the_note_is_the_headline_table_1_and_its_notes(tmp_path: Path) -> None:
    assert build(tmp_path).note == (
        "A\\_B is better.\n\n"
        "| Model | ROC-AUC |\n|:------|--------:|\n| Local |     0.7 |\n\n"
        "Below \\*it\\*."
    )


def test_tables_and_history_are_those_of_the_run(tmp_path: Path) -> None:
    found = build(tmp_path)
    assert found.tables is TABLES
    assert found.metrics is TABLES["metrics"]
    pd.testing.assert_frame_equal(found.history, one_history())
    (whole,) = found.data[None]
    assert json.loads(whole.dataset.source) == {"tags": {"description": "simulated"}}


def test_every_training_leaves_the_model_of_the_first_seed(tmp_path: Path) -> None:
    found = build(tmp_path)
    assert [(model.paradigm, model.strategy, model.seed) for model in found.models] == [
        ("a_new_paradigm", "fedavg", 0),
        ("local", "a_new_learner", 0),
    ]
    for model in found.models:
        assert list(model.arrays) == ["format", "seed=0/shared/w"]
        assert model.configuration == {
            "seed": 0,
            "features": ["x"],
            "training": [model.paradigm, model.strategy],
            "settings": {"protocol": {"scaling": "federated"}},
        }
        assert model.code.is_file()
    assert found.example is not None
    assert found.example.to_dict("list") == {"country": ["A", "B"], "x": [2.0, 2.0]}


def test_models_that_need_the_rows_of_their_country_are_not_kept(tmp_path: Path) -> None:
    assert build(tmp_path, scaling="country").models == []


def test_the_predictor_is_kept_where_there_is_one(tmp_path: Path) -> None:
    assert build(tmp_path).predictor is None
    (tmp_path / "predictor").mkdir()
    assert build(tmp_path).predictor == tmp_path / "predictor"


def test_a_description_is_cut_at_a_sentence_and_never_inside_the_table(tmp_path: Path) -> None:
    """The parts are kept that MLflow would keep whole."""
    from mlflow.store.model_registry.dbmodels.models import SqlModelVersion
    from mlflow.utils.validation import MAX_TAG_VAL_LENGTH

    assert MAX_TAG_VAL_LENGTH == record.MOST_OF_A_RUN
    assert SqlModelVersion.description.type.length == record.MOST_OF_A_VERSION
    sentences = [f"Sentence {number:03d} " + "x" * 986 for number in range(12)]  # 1,000 characters
    found = build(tmp_path, headline=sentences)
    assert len(found.note) <= record.MOST_OF_A_RUN
    table = found.note.split("\n\n")[-2:]
    assert table[0].startswith("| Model |")
    assert table[1] == r"Below \*it\*."
    assert found.note.split("\n\n")[:-2] == sentences[:7]
    assert found.verdict.split("\n\n") == sentences[:4]
