"""The job on a Ray cluster of two nodes, and on one machine: the same bits?

``make cluster-drill`` (``python deploy/cluster/drill.py --env smoke`` for a quick look) starts two
raylets of one core each on this machine, with ports, temporary folders and processes of their own,
and runs ``kedro run --pipeline=pfl`` on them, then without a cluster. It compares, of every
training, all predictions, the history (without seconds) and the models, and asks Ray on which
nodes the workers were. Each run has a copy of the project, so nobody's data are touched.

``--kill-node`` kills the second node (SIGKILL to all its processes, as if its machine had lost its
power) in the midst of a federation; the first has two cores then, so that there is room.

Ends with 1 where anything differs. Whatever was started is ended, also after a failure or Ctrl-C,
by the ids of its processes; other people's Ray is left alone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from ray_cluster import RayCluster, await_nodes
from safetensors.numpy import load_file

PROJECT = Path(__file__).resolve().parents[2]
MARK = "MS_PFL_CLUSTER_DRILL"
HOST = "127.0.0.1"
STORE_BYTES = 512 * 2**20  # object store of each node


@dataclass(frozen=True)
class StartedNode:
    """A raylet that was started here; all its processes carry the mark in their environment."""

    process: subprocess.Popen[bytes]
    mark: str

    def processes(self) -> list[int]:
        """Ids of its living processes."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes():
                    found.append(int(folder.name))
        return found

    def kill(self) -> None:
        """End all its processes at once."""
        while found := self.processes():
            for pid in found:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.poll()
            time.sleep(0.05)

    def stop(self) -> None:
        """End it as its own command does; kill what is left after ten seconds."""
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=10)
        self.kill()


@dataclass(frozen=True)
class StartedCluster:
    """A cluster on this machine: its address and its nodes, the head first."""

    address: str
    nodes: list[StartedNode]


@contextmanager
def cluster(cores: list[int]) -> Iterator[StartedCluster]:
    """Start a Ray cluster with a node of so many cores each; it ends with the block."""
    # Ray's sockets lie below; their paths may have 107 characters
    folder = Path(tempfile.mkdtemp(prefix="ms_pfl-", dir="/tmp"))
    address = f"{HOST}:{_free_port()}"
    nodes: list[StartedNode] = []
    try:
        for number, count in enumerate(cores):
            place = (
                [
                    "--head",
                    f"--port={address.rpartition(':')[2]}",
                    "--include-dashboard=false",
                    f"--ray-client-server-port={_free_port()}",
                ]
                if number == 0
                else [f"--address={address}"]
            )
            nodes.append(_start_node(place, count, folder / str(number)))
            await_nodes(address, number + 1, 120)
        yield StartedCluster(address, nodes)
    finally:
        for node in reversed(nodes):
            node.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _start_node(place: list[str], cores: int, folder: Path) -> StartedNode:
    folder.mkdir()
    mark = uuid.uuid4().hex
    command = [
        sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--block",
        *place, f"--node-ip-address={HOST}", f"--num-cpus={cores}", "--num-gpus=0",
        f"--object-store-memory={STORE_BYTES}", f"--temp-dir={folder}", "--disable-usage-stats",
    ]  # fmt: skip
    with (folder / "said.txt").open("wb") as said:
        process = subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
            env={**os.environ, MARK: mark, "RAY_USAGE_STATS_ENABLED": "0"},
        )  # fmt: skip
    return StartedNode(process, mark)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def copy_project(folder: Path) -> Path:
    """Return the project without its data, in a folder of its own."""
    for name in ("conf", "src"):
        shutil.copytree(
            PROJECT / name,
            folder / name,
            ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
        )
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(PROJECT / name, folder)
    return folder


@contextmanager
def kedro_run(folder: Path, env: str, *parameters: str) -> Iterator[subprocess.Popen[bytes]]:
    """``kedro run --pipeline=pfl`` in a copy of the project; what it says goes to run.log."""
    command = [sys.executable, "-m", "kedro", "run", "--pipeline=pfl"]
    command += [f"--env={env}"] if env != "base" else []
    command += [f"--params={','.join(parameters)}"] if parameters else []
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": str(folder / "src")}
    with (folder / "run.log").open("wb") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT,
            start_new_session=True,
            # a shell starts what runs in its background deaf to Ctrl-C, and children inherit that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=30)
            process.kill()
        process.wait()


def finish(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait for a run.

    Raises:
        SystemExit: it failed; the last lines of what it said are in the message.
    """
    if process.wait():
        last = (folder / "run.log").read_text(errors="replace").splitlines()[-15:]
        raise SystemExit("\n".join([f"kedro run ended with {process.returncode}:", *last]))


def digests(folder: Path) -> dict[str, str]:
    """sha256 of the content of what each training left: predictions, history, models.

    Seconds are left out of the history, and nothing else of anything. Keys are paths below the
    folder.
    """
    found = {}
    files = [
        *folder.glob("data/07_model_output/*/*/*.parquet"),
        *folder.glob("data/06_models/*/*/*.safetensors"),
    ]
    for path in sorted(files):
        content = hashlib.sha256()
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
            frame = frame.drop(columns="seconds", errors="ignore")
            content.update(repr([*frame.dtypes.items()]).encode())
            content.update(pd.util.hash_pandas_object(frame, index=True).to_numpy().tobytes())
        else:
            for name, array in sorted(load_file(path).items()):
                content.update(f"{name} {array.dtype} {array.shape}".encode())
                content.update(array.tobytes())
        found[path.relative_to(folder).as_posix()] = content.hexdigest()
    return found


def differences(ours: dict[str, str], theirs: dict[str, str]) -> list[str]:
    """Names whose digests differ, and those that only one side has, in order."""
    return [name for name in sorted({*ours, *theirs}) if ours.get(name) != theirs.get(name)]


def kill_in_a_federation(folder: Path, run: subprocess.Popen[bytes], node: StartedNode) -> str:
    """Kill a node when the run has written its first checkpoint of a federation; what was killed.

    Raises:
        SystemExit: the run ended before.
    """
    while run.poll() is None:
        if any(folder.glob("data/06_models/unfinished/**/seed=*.round=*.safetensors")):
            count = len(node.processes())
            node.kill()
            return f"killed the second node ({count} processes) after the first checkpoint"
        time.sleep(0.02)
    finish(run, folder)
    raise SystemExit("the run ended before there was a checkpoint to kill the node after")


def main(arguments: list[str] | None = None) -> int:
    """Run both and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--env", default="base", help="environment of conf/ (default: base)")
    parser.add_argument("--kill-node", action="store_true", help="kill the second node on the way")
    parser.add_argument("--params", default="", help="further parameters, for both runs")
    asked = parser.parse_args(arguments)
    parameters = [asked.params] if asked.params else []
    # Ctrl-C and a plain kill both end what was started
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    with tempfile.TemporaryDirectory(prefix="ms_pfl-drill-") as root:
        folders = [Path(root) / name for name in ("cluster", "one-machine")]
        for folder in folders:
            folder.mkdir()
            copy_project(folder)
        here, there = folders[1], folders[0]
        with cluster([2, 1] if asked.kill_node else [1, 1]) as made:
            names = [node.node_id for node in await_nodes(made.address, 2, 10)]
            print(f"cluster at {made.address}: nodes {', '.join(name[:8] for name in names)}")
            began = time.monotonic()
            two = (f"ray.address={made.address}", "ray.num_workers=2")
            with kedro_run(there, asked.env, *parameters, *two) as run:
                if asked.kill_node:
                    print(kill_in_a_federation(there, run, made.nodes[1]))
                finish(run, there)
            print(f"the run on two nodes took {time.monotonic() - began:.0f} s")
            actors = RayCluster(made.address).actors()
            left = len(await_nodes(made.address, 1, 10))
        began = time.monotonic()
        with kedro_run(here, asked.env, *parameters, "ray.num_workers=2") as run:
            finish(run, here)
        print(f"the run on one machine took {time.monotonic() - began:.0f} s")
        ours, theirs = digests(there), digests(here)

    places = Counter(actors.get("RayClientHost", []))
    for name in names:
        print(f"node {name[:8]}: {places[name]} workers were started there")
    kinds = Counter(Path(name).name for name in ours)
    print("compared:", ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
    whole = hashlib.sha256(repr(sorted(ours.items())).encode()).hexdigest()
    problems = [f"differs: {name}" for name in differences(ours, theirs)]
    problems += [f"no worker was on node {name[:8]}" for name in names if not places[name]]
    if not ours:
        problems.append("there was nothing to compare")
    if asked.kill_node and (left != 1 or places.total() < 3):
        problems.append(f"{left} nodes were left, and {places.total()} workers were started in all")
    for problem in problems:
        print(problem)
    if not problems:
        print(f"the same bits: sha256 over all {len(ours)} digests is {whole[:16]} on both")
    return int(bool(problems))


if __name__ == "__main__":
    raise SystemExit(main())
