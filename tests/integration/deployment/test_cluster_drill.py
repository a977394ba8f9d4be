"""The drill's comparison, and the drill itself on two raylets (slow)."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from kedro_project import PROJECT

sys.path.insert(0, str(PROJECT / "deploy/cluster"))
from drill import cluster, copy_project, differences, digests
from ray_cluster import RayCluster, await_nodes, main

from ms_pfl.federation.flower import ENVIRONMENT
from ms_pfl.federation.grids.ray import shared_pool
from ms_pfl.federation.parameters import RayParameters


def outputs(folder: Path, probability: float, seconds: float, weight: float) -> Path:
    """What one training leaves in a project."""
    made = folder / "data/07_model_output/federated/fedavg"
    made.mkdir(parents=True)
    pd.DataFrame({"country": ["A", "B"], "probability": [0.5, probability]}).to_parquet(
        made / "predictions.parquet"
    )
    pd.DataFrame({"round": [1], "train_loss": [0.25], "seconds": [seconds]}).to_parquet(
        made / "history.parquet"
    )
    made = folder / "data/06_models/federated/fedavg"
    made.mkdir(parents=True)
    save_file({"seed=0/shared/w": np.float32([1, weight])}, made / "models.safetensors")
    return folder


def test_the_seconds_of_a_history_are_nothing_to_compare(tmp_path: Path) -> None:
    one = digests(outputs(tmp_path / "one", 0.25, seconds=1.0, weight=2.0))
    two = digests(outputs(tmp_path / "two", 0.25, seconds=9.0, weight=2.0))
    assert sorted(Path(name).name for name in one) == [
        "history.parquet",
        "models.safetensors",
        "predictions.parquet",
    ]
    assert differences(one, two) == []


def test_the_last_bit_of_a_probability_or_a_weight_is_a_difference(tmp_path: Path) -> None:
    after = float(np.nextafter(0.25, 1)), float(np.nextafter(np.float32(2), np.float32(3)))
    one = digests(outputs(tmp_path / "one", 0.25, seconds=1.0, weight=2.0))
    two = digests(outputs(tmp_path / "two", after[0], seconds=1.0, weight=2.0))
    three = digests(outputs(tmp_path / "three", 0.25, seconds=1.0, weight=after[1]))
    assert differences(one, two) == ["data/07_model_output/federated/fedavg/predictions.parquet"]
    assert differences(one, three) == ["data/06_models/federated/fedavg/models.safetensors"]


def test_what_one_side_lacks_is_a_difference() -> None:
    assert differences({"a": "1", "b": "2"}, {"b": "2", "c": "3"}) == ["a", "c"]


def test_a_copy_of_the_project_has_its_code_and_configuration_and_no_data(tmp_path: Path) -> None:
    made = copy_project(tmp_path / "project")
    assert {path.name for path in made.iterdir()} == {"conf", "src", "pyproject.toml", ".telemetry"}
    assert not list(made.rglob("__pycache__"))


def test_a_cluster_that_nobody_started_is_told_within_the_time(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["127.0.0.1:9", "2", "--seconds", "0"]) == 1
    told = capsys.readouterr().out
    assert told.startswith("the Ray cluster at 127.0.0.1:9, after 0 s: ")
    assert "refused" in told


@pytest.mark.slow
def test_workers_of_a_cluster_are_on_both_nodes_with_the_environment_of_the_driver() -> None:
    """glibc's settings are read as a process starts: too late for a worker to set them itself."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as elsewhere:
            for name in ENVIRONMENT:  # which this process has set, and the nodes' own have not
                elsewhere.delenv(name)
            made = stack.enter_context(cluster([1, 1]))
        nodes = [node.node_id for node in await_nodes(made.address, 2, 10)]
        parameters = RayParameters(num_workers=2, address=made.address)
        try:
            pool = shared_pool.worker_pool(parameters, "cpu")
            import ray

            for worker in pool.workers:
                pid = ray.get(worker.pid.remote())
                told = (Path("/proc") / str(pid) / "environ").read_text().split("\0")
                assert {f"{name}={os.environ[name]}" for name in ENVIRONMENT} <= {*told}
        finally:
            shared_pool.shutdown()
        assert sorted(RayCluster(made.address).actors()["RayClientHost"]) == nodes
        processes = [pid for node in made.nodes for pid in node.processes()]
        assert len(processes) > 4
    assert [pid for node in made.nodes for pid in node.processes()] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("options", [[], ["--kill-node"]], ids=["two nodes", "one node dies"])
def test_two_raylets_give_the_bits_of_one_machine(options: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, str(PROJECT / "deploy/cluster/drill.py"), "--env=smoke", *options],
        capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(PROJECT / "src")},
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "compared: 17 history.parquet, 17 models.safetensors, 17 predictions.parquet" in (
        done.stdout
    )
