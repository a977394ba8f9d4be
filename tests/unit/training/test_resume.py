"""Trainings that are cut off and go on; what a finished run leaves (nothing); what is stale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from kedro.io import DataCatalog
from kedro.pipeline import Node, Pipeline

from federation_examples import tables
from ms_pfl.datasets import Unfinished
from ms_pfl.federation.checkpoints import read_arrays, write_arrays
from ms_pfl.federation.history import ProgressReport
from ms_pfl.hooks.run import FinishedRun
from ms_pfl.paradigms import Training
from ms_pfl.settings import HOOKS
from ms_pfl.training import resume as module
from ms_pfl.training.resume import UnfinishedTraining, UnfinishedTrainings, training_key
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.simulation import Outcome, train_tables
from paradigm_examples import Study, compute, parameters

TRAININGS = [
    ("centralized", "pooled"),
    ("local", "none"),
    ("fine_tuned", "fedavg"),
    ("adaptive", "fedprox"),
    ("private_intercept", "fedavg"),
    ("proximal_copy", "fedavg"),
    ("scaffold", "fedavg"),
    ("local", "logistic"),
    ("federated", "logistic"),
    ("fine_tuned", "logistic"),
    ("adaptive", "logistic"),
    ("federated", "trees"),
    ("fine_tuned", "trees"),
    ("adaptive", "trees"),
]


class Cut(BaseException):
    """Stands for a kill: no handler of errors sees it."""


@dataclass
class Cutter:
    """Ends a training at its nth report."""

    at: int
    seen: list[ProgressReport] = field(default_factory=list)

    def __call__(self, report: ProgressReport) -> None:
        self.seen.append(report)
        if len(self.seen) == self.at:
            raise Cut


def run(
    folder: Path,
    key: tuple[str, str],
    cutter: Cutter,
    told: TrainingSettings | None = None,
    given: tuple[pd.DataFrame, pd.DataFrame] | None = None,
    models: dict[str, np.ndarray] | None = None,
) -> tuple[Outcome, UnfinishedTrainings]:
    kept = UnfinishedTrainings(folder)
    outcome = train_tables(
        Training(*key), *(given or tables()), told or parameters(),
        replace(compute(), unfinished=kept), cutter, models,
    )  # fmt: skip
    return outcome, kept


def notes(cutter: Cutter) -> list[str]:
    return [report.note for report in cutter.seen if report.note]


@pytest.mark.parametrize("key", TRAININGS)
def test_a_training_goes_on_wherever_it_was_cut_off(key: tuple[str, str], tmp_path: Path) -> None:
    """Cut at every report in turn, in one chain, until it ends: the bits of an uncut one."""
    study = Study()
    whole = study.outcome(*key)
    models = study.outcome("federated", key[1]).models if key[0] == "fine_tuned" else None
    cuts = 0
    for at in range(1, 40):
        try:
            done, kept = run(tmp_path, key, Cutter(at), models=models)
            break
        except Cut:
            cuts += 1
    assert cuts >= 4
    pd.testing.assert_frame_equal(done.predictions, whole.predictions, check_exact=True)
    columns = [name for name in whole.history if name != "seconds"]
    pd.testing.assert_frame_equal(done.history[columns], whole.history[columns])
    assert list(done.models) == list(whole.models)
    assert all(np.array_equal(done.models[name], whole.models[name]) for name in whole.models)
    assert any(tmp_path.rglob("*.safetensors"))
    kept.finish()
    assert not tmp_path.exists(), "a finished run leaves nothing"


def test_a_person_is_told_what_was_taken_over(tmp_path: Path) -> None:
    """Two seeds of four rounds: the first is finished, the second in its second round."""
    with pytest.raises(Cut):
        run(tmp_path, ("federated", "fedavg"), Cutter(9))
    again = Cutter(99)
    run(tmp_path, ("federated", "fedavg"), again)
    assert notes(again) == ["taken over from an interrupted run", "goes on after round 2"]


@pytest.fixture
def cut_off(tmp_path: Path) -> Path:
    with pytest.raises(Cut):
        run(tmp_path, ("federated", "fedavg"), Cutter(9))
    return tmp_path


def test_other_settings_begin_anew(cut_off: Path) -> None:
    told = parameters(federation={"rounds": 4, "patience": None, "client_fraction": 1.0})
    cutter = Cutter(99)
    _, kept = run(cut_off, ("federated", "fedavg"), cutter, told)
    assert notes(cutter) == []
    kept.finish()
    assert any(cut_off.rglob("*.safetensors")), "what others left stays"


def test_other_data_or_splits_begin_anew(cut_off: Path) -> None:
    episodes, splits = tables()
    changed = episodes.copy()
    changed.loc[0, "edss"] += 0.5
    swapped = splits.assign(split=splits["split"].replace({"train": "test", "test": "train"}))
    for given in ((changed, splits), (episodes, swapped)):
        cutter = Cutter(99)
        run(cut_off, ("federated", "fedavg"), cutter, given=given)
        assert notes(cutter) == []


def test_other_code_begins_anew(cut_off: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "source_digest", lambda: "another version")
    cutter = Cutter(99)
    run(cut_off, ("federated", "fedavg"), cutter)
    assert notes(cutter) == []


def test_fine_tuning_begins_anew_with_its_own_settings_or_start_changed(tmp_path: Path) -> None:
    """Both seeds were finished, the run was not; the stamp of the models does not tell a bit."""
    key, models = ("fine_tuned", "fedavg"), Study().outcome("federated", "fedavg").models
    run(tmp_path, key, Cutter(99), models=models)
    same = Cutter(99)
    run(tmp_path, key, same, models=models)
    assert notes(same) == ["taken over from an interrupted run"] * 2
    settings = parameters().fine_tuned.model_dump() | {"epochs": 3}
    name = "seed=1/shared/core.0.bias"
    for told, start in (
        (parameters(fine_tuned=settings), models),
        (parameters(), models | {name: models[name] + np.float32(1)}),
    ):
        cutter = Cutter(99)
        run(tmp_path, key, cutter, told, models=start)
        assert notes(cutter) == []


def test_the_hook_of_a_finished_run_removes_what_its_trainings_kept(tmp_path: Path) -> None:
    """And leaves it where another pipeline ends, which trains nothing."""
    assert any(isinstance(hook, FinishedRun) for hook in HOOKS)
    dataset = Unfinished(str(tmp_path / "unfinished"))
    catalog = DataCatalog({"unfinished": dataset})
    folder = tmp_path / "unfinished" / "local.none.key"
    folder.mkdir(parents=True)
    dataset.load().training("local.none", "key", 1)
    training, report = (
        Pipeline([Node(len, name, "n", name="count")]) for name in ("unfinished", "table1")
    )
    FinishedRun().after_pipeline_run(report, catalog)
    assert folder.exists()
    FinishedRun().after_pipeline_run(training, catalog)
    assert not (tmp_path / "unfinished").exists()


def test_the_key_knows_the_models_a_training_starts_from() -> None:
    stamp = np.zeros(16, np.uint8)
    start = {"w": np.zeros(3, np.float32)}
    keys = {
        training_key(stamp, None, "cpu"),
        training_key(stamp, start, "cpu"),
        training_key(stamp, {"w": np.ones(3, np.float32)}, "cpu"),
        training_key(stamp, {"v": np.zeros(3, np.float32)}, "cpu"),
        training_key(stamp, {"w": np.zeros((3, 1), np.float32)}, "cpu"),
        training_key(stamp, {"w": np.zeros(3, np.int32)}, "cpu"),
        training_key(stamp + 1, None, "cpu"),
        training_key(stamp, None, "auto"),
    }
    assert len(keys) == 8
    assert training_key(stamp, dict(start), "cpu") in keys


def test_a_damaged_seed_is_trained_again(cut_off: Path, caplog: pytest.LogCaptureFixture) -> None:
    (finished,) = cut_off.rglob("seed=0.finished.safetensors")
    finished.write_bytes(finished.read_bytes()[:50])
    cutter = Cutter(99)
    done, _ = run(cut_off, ("federated", "fedavg"), cutter)
    assert "A finished seed is damaged and trained again" in caplog.text
    assert notes(cutter) == ["goes on after round 2"]
    whole = Study().outcome("federated", "fedavg")
    pd.testing.assert_frame_equal(done.predictions, whole.predictions, check_exact=True)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda arrays, told: told.update(seed=5), "is no finished seed: it is of seed 5"),
        (lambda arrays, told: told.update(history=[{"seed": 0}]), "history.0.round: Field requ"),
        (lambda arrays, told: told.update(more=1), "more: Extra inputs are not permitted"),
        (lambda arrays, told: told.pop("nodes"), "nodes: Field required"),
        (lambda arrays, told: arrays.pop("inputs/sd"), "is no finished seed: the arrays of the"),
        (
            lambda arrays, told: arrays["inputs/sd"].fill(np.nan),
            "no finished seed: the scaler has a",
        ),
    ],
)
def test_a_finished_seed_of_other_content_is_trained_again_whatever_its_digest(
    change: Callable[[dict[str, np.ndarray], dict[str, Any]], object],
    told: str,
    cut_off: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (finished,) = cut_off.rglob("seed=0.finished.safetensors")
    content = read_arrays(finished)
    change(*content)
    write_arrays(finished, *content)
    store = UnfinishedTraining(finished.parent)
    assert store.result(0) is None
    (line,) = caplog.messages
    assert line.startswith(f"A finished seed is damaged and trained again. {finished}")
    assert told in line
    assert line.isprintable()


def test_a_finished_run_is_not_used_again(tmp_path: Path) -> None:
    _, kept = run(tmp_path / "kept", ("federated", "fedavg"), Cutter(99))
    kept.finish()
    cutter = Cutter(99)
    run(tmp_path / "kept", ("federated", "fedavg"), cutter)
    assert notes(cutter) == []
