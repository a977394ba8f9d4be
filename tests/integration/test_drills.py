"""Drills through `kedro run`: kills, an interrupt, other workers, tables in another order.

Each ends in the same bits.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest

from kedro_project import KedroProject, make_project, predictions_digests

DRILL = """
seeds: [0, 1]
synthetic_registry: {n_patients: 600}
checkpoints: {every_rounds: 2}
ray: {num_workers: 2}
training:
  network: {width: 16}
  optimizer: {batch_size: 64, learning_rate: 2.0e-3}
  centralized: {epochs: 10, patience: 3, batch_size: 64}
  local: {epochs: 10, patience: 3}
  federation: {rounds: 8, patience: 8}
  fine_tuned: {epochs: 4, patience: 2}
"""
TABLES = ["run", "--pipelines=synthetic_registry,preprocessing", "--env=drill"]
COMMAND = ["run", "--pipelines=training", "--env=drill", "--tags=fedadam,pooled,none"]
KILLS = 20


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> KedroProject:
    """A project with its tables ready to be trained on."""
    made = drill_project(tmp_path_factory.mktemp("drill"))
    done = made.kedro(*TABLES)
    assert done.returncode == 0, done.stdout + done.stderr
    return made


def drill_project(folder: Path) -> KedroProject:
    """A copy of the project with an environment ``drill``."""
    folder.mkdir(exist_ok=True)
    made = make_project(folder)
    (folder / "conf/drill").mkdir()
    (folder / "conf/drill/parameters.yml").write_text(DRILL)
    return made


@contextmanager
def started(project: KedroProject, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`kedro <arguments>` as a process, and the mark that it and all its children carry."""
    mark = uuid.uuid4().hex
    with subprocess.Popen(
        [sys.executable, "-m", "kedro", *arguments],
        cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "NO_COLOR": "1", "MS_PFL_DRILL": mark}, start_new_session=True,
        # a shell starts what runs in its background deaf to Ctrl-C, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        try:
            yield process, mark
        finally:
            process.kill()


def alive(mark: str) -> list[str]:
    """Commands of the processes that carry the mark."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_text().replace("\0", " ")[:60])
        except OSError:
            continue
    return found


def none_left(mark: str, seconds: float) -> list[str]:
    """The processes that are left after so many seconds at most."""
    until = time.monotonic() + seconds
    while (left := alive(mark)) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def finish(project: KedroProject) -> tuple[dict[str, str], str]:
    """Run to the end; the digests of what it predicted, and what it said."""
    for path in (project.folder / "data/07_model_output").rglob("*.parquet"):
        path.unlink()
    done = project.kedro(*COMMAND)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (project.folder / "data/06_models/unfinished").exists()
    return predictions_digests(project.folder), done.stdout


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_driver_killed_at_any_moment_goes_on_with_the_same_bits(project: KedroProject) -> None:
    began = time.monotonic()
    expected, _ = finish(project)
    seconds = time.monotonic() - began
    assert len(expected) == 5
    moments = random.Random(2025)
    went_on = 0
    marks: list[str] = []
    while len(marks) < KILLS:
        moment = moments.uniform(0.2 * seconds, seconds)
        with started(project, *COMMAND) as (process, mark):
            try:
                process.wait(timeout=moment)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                marks.append(mark)
            else:  # the machine has become faster: it was done before the kill
                seconds *= 0.9
                continue
        found, said = finish(project)
        resumed = said.count("taken over") + said.count("goes on after")
        went_on += resumed > 0
        print(
            f"kill {len(marks)} after {moment:.1f} of {seconds:.1f} s: {resumed} seeds gone on from"
        )
        assert found == expected, f"kill {len(marks)}, after {moment:.1f} s"
    # if the driver dies while Ray's agents start, they notice within two minutes
    assert {mark: left for mark in marks if (left := none_left(mark, 180))} == {}
    assert went_on >= KILLS // 4, "many kills come in the midst of a training"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_neither_the_workers_nor_the_order_of_the_tables_change_a_bit(
    project: KedroProject, tmp_path: Path
) -> None:
    """Each in a project of its own, from the registry on; with 0 workers the grid is LocalGrid."""
    shuffled = tmp_path / "registry"
    shuffled.mkdir()
    for path in (project.folder / "data/01_raw/synthetic_registry").glob("*.parquet"):
        table = pd.read_parquet(path).sample(frac=1, random_state=1)
        table.to_parquet(shuffled / path.name, index=False)
    found = {}
    for name, parameters in {
        "no worker": "ray.num_workers=0",
        "one worker": "ray.num_workers=1",
        "two workers": "ray.num_workers=2",
        "another order": f"ray.num_workers=2,registry_folder={shuffled}",
    }.items():
        made = drill_project(tmp_path / name)
        for command in (TABLES, COMMAND):
            done = made.kedro(*command, f"--params={parameters}")
            assert done.returncode == 0, done.stdout + done.stderr
        found[name] = predictions_digests(made.folder)
    assert len(found["no worker"]) == 5
    for name, digests in found.items():
        assert digests == found["no worker"], name


@pytest.mark.slow
def test_an_interrupt_ends_at_once_and_leaves_a_checkpoint_and_no_process(
    project: KedroProject,
) -> None:
    """Ctrl-C in a round of the first training; MLflow is told; the same command ends the work."""
    from mlflow.tracking import MlflowClient

    arguments = (
        "run",
        "--pipeline=pfl",
        "--env=drill",
        "--params=training.federation.rounds=400,training.federation.patience=400",
    )
    with started(project, *arguments) as (process, mark):
        folder = project.folder / "data/06_models/unfinished"
        until = time.monotonic() + 120
        while not list(folder.rglob("*.round=*.safetensors")):
            assert time.monotonic() < until, "no round came"
            time.sleep(0.1)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        seconds = time.monotonic() - began
        left = none_left(mark, 5 - seconds)
    print(f"ended {seconds:.1f} s after the interrupt")
    assert seconds < 5
    assert left == []
    rounds = {int(path.name.split("round=")[1][:6]) for path in folder.rglob("*.round=*")}
    assert rounds
    client = MlflowClient(f"sqlite:///{project.folder}/mlflow.db")
    experiment = client.get_experiment_by_name("ms_pfl")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "KILLED"
