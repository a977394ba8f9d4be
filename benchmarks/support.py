"""What benchmarks share: the parameters of conf/, memory and time of processes, tables, and rows,
networks and rounds of a given size.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pandas as pd
from kedro.config import OmegaConfigLoader

from ms_pfl.federation.client import initial_arrays, method_of
from ms_pfl.federation.exchange import Node, prepare
from ms_pfl.federation.flower import Grid
from ms_pfl.federation.grids.simulated import SimulationGrid
from ms_pfl.federation.inputs import agree_on_inputs
from ms_pfl.federation.parameters import ClientSettings, FedAvgParameters, RoundsParameters
from ms_pfl.federation.partitions import CountryRows, FederationData
from ms_pfl.federation.rounds import run_rounds
from ms_pfl.federation.strategies import make_strategy
from ms_pfl.learning.parameters import NetworkParameters, OptimizerParameters
from ms_pfl.parameters import Parameters
from ms_pfl.settings import CONFIG_LOADER_ARGS
from ms_pfl.training.settings import TrainingSettings

PROJECT = Path(__file__).resolve().parents[1]
SEED = 0
N_FEATURES = 42
STUDY_CLIENTS, STUDY_ROWS = 32, 283_115  # Pirmani et al. 2025
LEARNING_RATE, WEIGHT_DECAY, DROPOUT, BATCH_SIZE = 1e-4, 5e-5, 0.1, 512  # its public code
_MIB = 2**20
_PROC = Path("/proc")


def read_parameters(env: str = "base") -> Parameters:
    """Parameters of conf/base, and of conf/``env`` on top."""
    arguments = CONFIG_LOADER_ARGS | {"default_run_env": env}
    loader = OmegaConfigLoader(conf_source=str(PROJECT / "conf"), **arguments)
    return Parameters.model_validate(loader["parameters"])


class PeakMemory:
    """Samples the memory of this process and all its descendants; used in a ``with`` statement.

    PSS counts a page that several processes share once (each has its part of it), RSS counts it
    in each of them. Ray's own processes and its object store are descendants, so they count.
    All figures are in MiB. Linux only (``/proc/<pid>/smaps_rollup``).

    Attributes:
        pss, rss: highest sum over all processes.
        driver: highest PSS of this process.
        worker: highest PSS of a Ray worker process.
    """

    def __init__(self, seconds: float = 0.25) -> None:
        """Sample so often."""
        self.pss = self.rss = self.driver = self.worker = 0.0
        self._seconds = seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakMemory:
        """Begin to sample."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Sample once more and stop."""
        self._done.set()
        self._thread.join()
        self._sample()

    def _watch(self) -> None:
        while not self._done.wait(self._seconds):
            self._sample()

    def _sample(self) -> None:
        me = os.getpid()
        pss = rss = 0.0
        for pid in [me, *_descendants(me)]:
            # a process may end between being listed and being read
            with suppress(OSError, StopIteration):
                memory = dict(_rollup(pid))
                pss += memory["Pss"]
                rss += memory["Rss"]
                if pid == me:
                    self.driver = max(self.driver, memory["Pss"])
                elif (_PROC / str(pid) / "cmdline").read_bytes().startswith(b"ray::"):
                    self.worker = max(self.worker, memory["Pss"])
        self.pss, self.rss = max(self.pss, pss), max(self.rss, rss)


def workers_cpu_seconds() -> float:
    """CPU time of all Ray workers below this process so far, user and system."""
    total = 0
    for pid in _descendants(os.getpid()):
        with suppress(OSError):
            if (_PROC / str(pid) / "cmdline").read_bytes().startswith(b"ray::"):
                fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def _rollup(pid: int) -> Iterable[tuple[str, float]]:
    for line in (_PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in ("Pss", "Rss"):
            yield name, int(rest.split()[0]) / 1024


def _descendants(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for path in _PROC.iterdir():
        if path.name.isdigit():
            with suppress(OSError):
                # the name in brackets may hold spaces; the parent is the second field after it
                parent = (path / "stat").read_text().rpartition(")")[2].split()[1]
                children.setdefault(int(parent), []).append(int(path.name))
    found, todo = [], [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def apart(script: str, *arguments: object) -> dict[str, Any]:
    """Return what a Python script, run in a process of its own, prints last: a line of JSON."""
    command = [sys.executable, script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table; numbers are rounded to what a reader can use."""
    lines = [header, ["---"] * len(header), *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: object) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def machine() -> str:
    """Return the machine in words: cores, memory, whether other work is going on."""
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _MIB / 1024
    return (
        f"{cores} cores ({platform.machine()}), {memory:.0f} GiB, no GPU in use; "
        f"load at the end {os.getloadavg()[0]:.1f}"
    )


def skewed_sizes(clients: int, rows: int, smallest: int = 5) -> list[int]:
    """Rows of each client: even steps on a log scale from ``smallest`` up, as in a registry.

    The sum is ``rows``. With 32 clients and 283,115 rows the largest has about 70,000.
    """
    if clients * smallest > rows:
        raise ValueError(f"{rows} rows are too few for {clients} clients of {smallest}")
    low, high = 1.0, float(rows)
    for _ in range(60):  # bisect the ratio of the largest to the smallest
        middle = (low * high) ** 0.5
        total = (smallest * middle ** np.linspace(0, 1, clients)).sum()
        low, high = (middle, high) if total < rows else (low, middle)
    sizes = np.floor(smallest * low ** np.linspace(0, 1, clients)).astype(int)
    sizes[-1] += rows - sizes.sum()
    return [int(size) for size in sizes]


def country_rows(clients: int, rows: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Features (float32) and labels (float32 0/1, a fifth of them 1) by name of the client."""
    rng = np.random.default_rng(SEED)
    made = {}
    for number, size in enumerate(skewed_sizes(clients, rows)):
        x = rng.standard_normal((size, N_FEATURES), dtype=np.float32)
        y = (x[:, 0] + rng.standard_normal(size, dtype=np.float32) > 1.2).astype(np.float32)
        made[f"C{number:04d}"] = (x, y)
    return made


def federation_of(clients: int, rows: int) -> FederationData:
    """Return the same as our clients hold it, split 60/20/20; no ids, which no client reads."""
    rng = np.random.default_rng(SEED)
    countries = {}
    for name, (x, y) in country_rows(clients, rows).items():
        # at least one training row: the first of the permutation
        codes = np.searchsorted([0.6, 0.8], np.arange(len(y)) / len(y), side="right")
        split = rng.permutation(codes).astype(np.int8)
        countries[name] = CountryRows(name, x, y, {SEED: split})
    features = tuple(f"x{i}" for i in range(N_FEATURES))
    ids = dict.fromkeys(countries, pd.DataFrame())
    return FederationData(features, (SEED,), countries, ids, f"benchmark {clients} {rows}")


def wait_for_nodes(grid: Grid, clients: int) -> None:
    """Flower's simulation hands over its grid before all nodes have registered."""
    while len(list(grid.get_node_ids())) < clients:
        time.sleep(0.05)


def nodes_of(data: FederationData) -> list[Node]:
    """One node a client."""
    return [Node(name, SEED) for name in data.countries]


def settings_of(hidden_layers: int, width: int) -> ClientSettings:
    """Return the study's network and optimizer, with these layers."""
    network = NetworkParameters.model_validate(
        {
            "hidden_layers": hidden_layers,
            "width": width,
            "dropout": DROPOUT,
            "extension_width": 64,
            "extension_tiers": [{"min_rows": 0, "layers": 1}],
            "combining_activation": False,
            "combining_personal": False,
        }
    )
    optimizer = OptimizerParameters(
        kind="adam",
        learning_rate=LEARNING_RATE,
        weight_decay=WEIGHT_DECAY,
        batch_size=BATCH_SIZE,
        plateau=None,
    )
    told = read_parameters().training
    return client_settings(
        "federated", told.model_copy(update={"network": network, "optimizer": optimizer})
    )


def client_settings(paradigm: str, told: TrainingSettings) -> ClientSettings:
    """Return what a client is told of the training of a network."""
    return ClientSettings(
        paradigm=paradigm,
        inputs=told.inputs,
        network=told.network,
        optimizer=told.optimizer,
        protocol=told.protocol,
        device="cpu",
        method=None,
        logistic=None,
    )


class Rounds:
    """A federation of one network, played some rounds at a time: FedAvg, some local epochs."""

    def __init__(self, grid: SimulationGrid, settings: ClientSettings, epochs: int = 1) -> None:
        """Prepare the clients: scaler, settings, scaled rows."""
        self._grid = grid
        self._epochs = epochs
        inputs = agree_on_inputs(grid, SEED, settings.inputs, ())
        prepare(grid, SEED, settings, inputs)
        self._method = method_of(settings)
        self.initial = initial_arrays(settings, self._method, inputs.width, SEED)

    def seconds(self, rounds: int) -> list[float]:
        """Return the seconds of each round: every client scores what it receives, trains, is
        averaged."""
        moments = [time.perf_counter()]
        run_rounds(
            self._grid,
            make_strategy(FedAvgParameters(epochs=self._epochs)),
            self._method,
            self.initial,
            seed=SEED,
            epochs=self._epochs,
            parameters=RoundsParameters(rounds=rounds, patience=None, client_fraction=1.0),
            report=lambda *_: moments.append(time.perf_counter()),
        )
        return [float(gap) for gap in np.diff(moments)]
