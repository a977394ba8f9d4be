"""A round of the study's network against what the machine's matrix rate allows.

``python benchmarks/compute.py`` plays rounds of FedAvg (all clients, one local epoch, batch 512,
Adam) of the 5 x 512 MLP over 283,115 rows x 42 of 32 clients, 170,000 of them to train on, on two
workers. A round is everything between two averaged models: messages, scoring of the received model
on the validation rows, training, averaging. The limit is its matrix products alone at the rate that
512 x 512 float32 products reach on the same cores, one thread in each of two processes. Rate and
rounds are measured in turns, by the clock and by CPU time; the second holds also where others use
the machine. CPU time is that of the workers; it includes the evaluation that ends a federation,
here of one round, and so do its operations.

Floating-point operations (two a multiply-add), W_i the weights of layer i without biases: a row
costs 2 sum W_i forward; backward 2 sum W_i for the gradients of the weights, and 2 sum of W_i
without the first layer for those of its inputs, which nobody needs of the first layer. Biases,
ReLU, dropout, the loss and Adam are not counted.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch

from ms_pfl.federation.parameters import RayParameters
from ms_pfl.training.simulation import open_grid
from support import (
    N_FEATURES,
    SEED,
    STUDY_CLIENTS,
    STUDY_ROWS,
    Rounds,
    federation_of,
    machine,
    nodes_of,
    settings_of,
    table,
    workers_cpu_seconds,
)

WORKERS = 2
SIDE = 512
BOUND = 1.25


def main(arguments: list[str] | None = None) -> int:
    """Measure rate and rounds in turns."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="2 x 64 and 5,000 rows, one turn")
    parser.add_argument("--turns", type=int, default=4, help="turns (default: 4)")
    asked = parser.parse_args(arguments)
    layers, width, rows = (2, 64, 5000) if asked.quick else (5, 512, STUDY_ROWS)
    turns = 1 if asked.quick else asked.turns

    data = federation_of(STUDY_CLIENTS, rows)
    codes = [country.splits[SEED] for country in data.countries.values()]
    n_train, n_validation = (int(sum((split == i).sum() for split in codes)) for i in (0, 1))
    operations = flops(layers, width, n_train, n_validation)
    rates: list[Rate] = []
    walls, cpus = [], []
    ray = RayParameters(num_workers=WORKERS, address=None)
    with open_grid(data, nodes_of(data), ray, "cpu") as grid, matrix_rate() as rate:
        played = Rounds(grid, settings_of(layers, width))
        played.seconds(1)
        for _ in range(turns):
            rates.append(next(rate))
            before = workers_cpu_seconds()
            # a federation's last exchange scores its last round; it is not in the seconds
            walls += played.seconds(1)
            cpus.append(workers_cpu_seconds() - before)
        rates.append(next(rate))

    wall, cpu = statistics.median(walls), statistics.median(cpus)
    wall_rate = statistics.median(rate.wall for rate in rates)
    cpu_rate = statistics.median(rate.cpu for rate in rates)
    scoring = flops(layers, width, 0, n_validation)
    wall_limit, cpu_limit = operations / wall_rate, (operations + scoring) / cpu_rate
    size = f"{layers} x {width}, {n_train:,} training and {n_validation:,} validation rows"
    print(f"{size}: {operations / 1e9:,.0f} GFLOP a round\n")
    print(
        table(
            ["", "by the clock, both cores", "by CPU time"],
            [
                ["matrix rate, GFLOP/s", wall_rate / 1e9, cpu_rate / 1e9],
                ["a round at that rate, s", wall_limit, cpu_limit],
                ["a round, s", wall, cpu],
                ["ratio", wall / wall_limit, cpu / cpu_limit],
                ["bound", BOUND, ""],
                ["rounds of all turns, s", *(_list(values) for values in (walls, cpus))],
            ],
        )
    )
    print(f"\n{machine()}")
    return 0


def flops(layers: int, width: int, n_train: int, n_validation: int) -> float:
    """Operations of the matrix products of one round; see the head of this file."""
    sizes = [N_FEATURES, *[width] * layers, 1]
    weights = [a * b for a, b in itertools.pairwise(sizes)]
    forward = 2.0 * sum(weights)
    backward = 2.0 * sum(weights) + 2.0 * sum(weights[1:])
    return n_train * (forward + backward) + n_validation * forward


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in values)


@dataclass(frozen=True)
class Rate:
    """Operations a second: of all cores together by the clock, and a second of CPU time."""

    wall: float
    cpu: float


@contextmanager
def matrix_rate(seconds: float = 1.5) -> Iterator[Iterator[Rate]]:
    """Yield the rate that float32 products reach on as many processes as there are workers, each
    time."""
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    for _ in range(WORKERS):
        here, there = context.Pipe()
        process = context.Process(target=_multiply, args=(there, seconds), daemon=True)
        process.start()
        pipes.append(here)
        processes.append(process)

    def measured() -> Iterator[Rate]:
        while True:
            for pipe in pipes:
                pipe.send(True)
            told = [pipe.recv() for pipe in pipes]
            operations = sum(done for done, _, _ in told)
            yield Rate(
                sum(done / wall for done, wall, _ in told),
                operations / sum(cpu for _, _, cpu in told),
            )

    try:
        yield measured()
    finally:
        for pipe, process in zip(pipes, processes, strict=True):
            pipe.send(False)
            process.join()


def _multiply(pipe: Connection, seconds: float) -> None:
    torch.set_num_threads(1)
    a, b = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    out = torch.empty(SIDE, SIDE)
    os.nice(15)  # as Ray's workers are, lest the rate be that of a better place in the queue
    while pipe.recv():
        began, cpu, products = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() < began + seconds:
            for _ in range(20):
                torch.mm(a, b, out=out)
            products += 20
        wall, cpu = time.perf_counter() - began, time.process_time() - cpu
        pipe.send((products * 2.0 * SIDE**3, wall, cpu))


if __name__ == "__main__":
    raise SystemExit(main())
