"""Seconds per round of RayGrid against Flower's run_simulation, on the same app and the same loop.

``python benchmarks/engine.py`` times rounds of FedAvg over a ClientApp that computes nothing: it
decodes the arrays that it gets, adds one and sends them back. So what is timed is the engine:
messages, processes, serialization, averaging. Both have two workers of one core. Each measurement
is a process of its own (``run_simulation`` starts and stops Ray), and the two take turns, so that
whatever else the machine does hits both. A round is the median over all turns; the first of a
turn is not counted. Start-up is all of a turn that is not in its rounds, without the import of the
libraries. ``in one process`` is the same on LocalGrid, without any worker.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ms_pfl.federation.exchange import Node
from ms_pfl.federation.flower import (
    ClientApp,
    ConfigRecord,
    Context,
    Grid,
    Message,
    MetricRecord,
    RecordDict,
    to_arrays,
    to_record,
)
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.parameters import FedAvgParameters
from ms_pfl.federation.partitions import CountryRows, FederationData
from ms_pfl.federation.strategies import make_strategy
from ms_pfl.federation.sums import times_rows
from support import apart, machine, table, wait_for_nodes

WORKERS = 2
ARRAYS = 8  # a small network's
SIZES = ((32, 50_000, 6), (32, 1_000_000, 6), (1000, 50_000, 3))
BOUNDS = (4, 2, 7)


def main(arguments: list[str] | None = None) -> int:
    """Time all sizes, or one of them with one engine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, one turn")
    parser.add_argument("--turns", type=int, default=2, help="turns of each engine (default: 2)")
    parser.add_argument("--one", nargs=4, metavar=("ENGINE", "CLIENTS", "PARAMETERS", "ROUNDS"))
    asked = parser.parse_args(arguments)
    if asked.one:
        engine, *numbers = asked.one
        print(json.dumps(_ENGINES[engine](*map(int, numbers))))
        return 0
    sizes = ((4, 1000, 2),) if asked.quick else SIZES
    rounds: list[list[object]] = []
    starts: dict[str, list[float]] = {name: [] for name in ("flower", "ray", "ray again")}
    for (clients, parameters, n), bound in zip(sizes, BOUNDS, strict=False):
        seconds: dict[str, list[float]] = {name: [] for name in _ENGINES}
        for _ in range(1 if asked.quick else asked.turns):
            for name in _ENGINES:
                told = apart(__file__, "--one", name, clients, parameters, n)
                seconds[name] += told["rounds"]
                if name == "flower":
                    starts["flower"].append(told["start"])
                if name == "ray":
                    starts["ray"].append(told["start"])
                    starts["ray again"].append(told["again"])
        middle = {name: statistics.median(values) for name, values in seconds.items()}
        ratio = middle["flower"] / middle["ray"]
        size = f"{clients} x {parameters:,}"
        rounds.append(
            [size, middle["flower"], middle["ray"], middle["local"], ratio, f">= {bound}"]
        )
    print("Seconds per round\n")
    header = ["clients x parameters", "run_simulation", "RayGrid", "in one process"]
    print(table([*header, "run_simulation / RayGrid", "bound"], rounds))
    print("\nSeconds of start-up and end\n")
    middle = {name: statistics.median(values) for name, values in starts.items()}
    rows = [
        ["run_simulation", middle["flower"], middle["flower"]],
        ["RayGrid", middle["ray"], middle["ray again"]],
    ]
    print(table(["engine", "first training of a process", "each further one"], rows))
    print(f"\n{machine()}")
    return 0


def play(grid: Grid, clients: int, parameters: int, rounds: int) -> list[float]:
    """Return the seconds of each round of FedAvg on a grid, without the first."""
    strategy = make_strategy(FedAvgParameters(epochs=1))
    rng = np.random.default_rng(0)
    arrays = to_record(
        {f"a{i}": rng.random(parameters // ARRAYS, dtype=np.float32) for i in range(ARRAYS)}
    )
    before = to_arrays(arrays)
    wait_for_nodes(grid, clients)
    seconds = []
    for number in range(1, rounds + 2):
        began = time.perf_counter()
        messages = strategy.configure_train(number, arrays, ConfigRecord({}), grid)
        arrays, _ = strategy.aggregate_train(number, grid.send_and_receive(messages))
        seconds.append(time.perf_counter() - began)
    for name, array in to_arrays(arrays).items():  # else the engine did not do the work
        np.testing.assert_allclose(array, before[name] + rounds + 1, rtol=1e-4)
    return seconds[1:]


def trivial_app(*_: object) -> ClientApp:
    """Return a ClientApp that adds one to each array."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        more = {name: array + 1 for name, array in to_arrays(message.content["arrays"]).items()}
        metrics = MetricRecord({"num-examples": 1})
        sent = to_record(times_rows(more, rows=1, sites=1000))
        return Message(RecordDict({"arrays": sent, "metrics": metrics}), reply_to=message)

    return app


def _flower(clients: int, parameters: int, rounds: int) -> dict[str, Any]:
    from flwr.serverapp import ServerApp
    from flwr.simulation import run_simulation

    seconds: list[float] = []
    server = ServerApp()

    @server.main()
    def serve(grid: Grid, context: Context) -> None:
        grid.name_of = str  # what the strategies ask a grid of ours for
        seconds.extend(play(grid, clients, parameters, rounds))

    logging.getLogger("flwr").setLevel(logging.ERROR)
    config: Any = {
        "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
        "init_args": {"num_cpus": WORKERS, "log_to_driver": False, "logging_level": logging.ERROR},
    }
    began = time.perf_counter()
    run_simulation(server, trivial_app(), clients, backend_config=config)
    return _told(seconds, time.perf_counter() - began)


def _ray(clients: int, parameters: int, rounds: int) -> dict[str, Any]:
    import ray

    from ms_pfl.federation.grids.ray.grid import RayGrid
    from ms_pfl.federation.grids.ray.pool import WorkerPool

    data = _data(clients)
    nodes = [Node(name, 0) for name in data.countries]
    began = time.perf_counter()
    ray.init(
        num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
    )
    pool = WorkerPool(WORKERS, 0, make_app=trivial_app)
    with RayGrid(pool, data, nodes) as grid:
        seconds = play(grid, clients, parameters, rounds)
    first = time.perf_counter() - began
    began = time.perf_counter()
    with RayGrid(pool, data, nodes) as grid:
        again = play(grid, clients, parameters, rounds)
    second = time.perf_counter() - began
    ray.shutdown()
    return _told(seconds, first) | {"again": _told(again, second)["start"]}


def _local(clients: int, parameters: int, rounds: int) -> dict[str, Any]:
    data = _data(clients)
    began = time.perf_counter()
    grid = LocalGrid(data, [Node(name, 0) for name in data.countries], trivial_app)
    with grid:
        seconds = play(grid, clients, parameters, rounds)
    return _told(seconds, time.perf_counter() - began)


_ENGINES: dict[str, Callable[[int, int, int], dict[str, Any]]] = {
    "flower": _flower,
    "ray": _ray,
    "local": _local,
}


def _told(seconds: list[float], total: float) -> dict[str, Any]:
    """Return rounds and start-up; the first round, which is not in ``seconds``, counts as a usual
    one."""
    return {
        "rounds": seconds,
        "start": total - sum(seconds) - statistics.median(seconds),
    }


def _data(clients: int) -> FederationData:
    """One row per client: the app reads none."""
    x, y = np.zeros((1, 1), dtype=np.float32), np.zeros(1, dtype=np.float32)
    names = [f"C{number:04d}" for number in range(clients)]
    rows = {name: CountryRows(name, x, y, {0: np.zeros(1, dtype=np.int8)}) for name in names}
    return FederationData(("x0",), (0,), rows, {}, "benchmark")


if __name__ == "__main__":
    raise SystemExit(main())
