"""The Slurm script itself, with stand-ins of `srun` and `scontrol` alone: all else is real.

Two raylets start on this machine, the run is cut off by the signal that Slurm sends before the
time limit, the job is put back, and the second start ends in the bits of a run without a cluster.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kedro_project import PROJECT

sys.path.insert(0, str(PROJECT / "deploy/cluster"))
from drill import MARK, StartedNode, copy_project, differences, digests, finish, kedro_run

SCRIPT = PROJECT / "deploy/slurm/ms_pfl.sbatch"
JOB = 7_300_000 + os.getpid() % 20_000
# srun runs a command on a node; here every node is this machine. As Slurm does, it starts a step
# in a session of its own.
SRUN = """#!/usr/bin/env bash
echo "srun $*" >> "$STAND_IN_CALLS"
while [[ $1 == --* ]]; do shift; done
exec setsid "$@"
"""
SCONTROL = """#!/usr/bin/env bash
case "$1 $2" in
  "show hostnames") printf '%s\\n' $3 ;;
  requeue\\ *) echo "requeue $2" >> "$STAND_IN_CALLS" ;;
  *) echo "scontrol $* is not known" >&2; exit 1 ;;
esac
"""
SMALL = """
seeds: [0]
synthetic_registry: {n_patients: 600}
checkpoints: {every_rounds: 1}
training:
  network: {width: 16}
  optimizer: {batch_size: 64, learning_rate: 2.0e-3}
  centralized: {epochs: 3, patience: 3, batch_size: 64}
  local: {epochs: 3, patience: 3}
  federation: {rounds: 6, patience: 6}
  fine_tuned: {epochs: 2, patience: 2}
comparison: {replicates: 100}
attribution: {repeats: 2}
"""


class Job:
    """A project as a user of the cluster has it, and `sbatch` in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = folder / "calls.txt"
        self.environment = {
            **os.environ, MARK: folder.name, "STAND_IN_CALLS": str(self.calls),
            "PATH": f"{folder / 'stand-ins'}:{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "src"), "MS_PFL_ENV": "small",
            "SLURM_JOB_ID": str(JOB), "SLURM_SUBMIT_DIR": str(folder),
            "SLURM_JOB_NODELIST": f"{os.uname().nodename} {os.uname().nodename}",
            "SLURM_CPUS_PER_TASK": "1",
        }  # fmt: skip

    def sbatch(self, *arguments: str) -> subprocess.Popen[str]:
        """What Slurm does with the script: a copy of it is run, elsewhere."""
        script = self.folder / "slurm_script"
        script.write_text(SCRIPT.read_text())
        return subprocess.Popen(
            ["bash", str(script), *arguments], cwd="/", env=self.environment, text=True,
            stdout=(self.folder / "said.txt").open("a"), stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def said(self) -> str:
        return (self.folder / "said.txt").read_text()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    folder = tmp_path / "project"
    folder.mkdir()
    copy_project(folder)
    (folder / "conf/small").mkdir()
    (folder / "conf/small/parameters.yml").write_text(SMALL)
    (folder / "deploy").symlink_to(PROJECT / "deploy")
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "stand-ins").mkdir()
    for name, text in {"srun": SRUN, "scontrol": SCONTROL}.items():
        (folder / "stand-ins" / name).write_text(text)
        (folder / "stand-ins" / name).chmod(0o755)
    return Job(folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_job_cut_off_by_its_time_limit_is_requeued_and_goes_on_with_the_same_bits(
    job: Job, tmp_path: Path
) -> None:
    step = job.sbatch()
    everything = StartedNode(step, job.folder.name)  # type: ignore[arg-type]
    try:
        unfinished = job.folder / "data/06_models/unfinished"
        while not list(unfinished.rglob("*.round=*.safetensors")):
            assert step.poll() is None, job.said()
            time.sleep(0.1)
        step.send_signal(signal.SIGUSR1)
        assert step.wait(timeout=120) == 0, job.said()
        assert f"requeue {JOB}" in job.calls.read_text().splitlines()
        assert list(unfinished.rglob("*.round=*.safetensors"))
        assert everything.processes() == []
        assert not Path(f"/tmp/ms_pfl-{JOB}").exists()

        job.calls.unlink()
        step = job.sbatch()
        assert step.wait(timeout=1200) == 0, job.said()
        assert "goes on after" in job.said() or "taken over" in job.said()
        assert "requeue" not in job.calls.read_text()
        assert everything.processes() == []
    finally:
        everything.kill()

    alone = tmp_path / "alone"
    alone.mkdir()
    copy_project(alone)
    (alone / "conf/small").mkdir()
    (alone / "conf/small/parameters.yml").write_text(SMALL)
    with kedro_run(alone, "small", "ray.num_workers=0") as run:
        finish(run, alone)
    ours, theirs = digests(job.folder), digests(alone)
    assert len(theirs) == 51
    assert differences(ours, theirs) == []


@pytest.mark.slow
def test_a_run_that_fails_fails_the_job_and_leaves_no_process(job: Job) -> None:
    job.environment["MS_PFL_PARAMS"] = "training.federation.rounds=-1"
    step = job.sbatch()
    everything = StartedNode(step, job.folder.name)  # type: ignore[arg-type]
    try:
        assert step.wait(timeout=240) != 0
        assert "training.federation.rounds" in job.said()
        assert "requeue" not in job.calls.read_text()
        assert everything.processes() == []
    finally:
        everything.kill()
