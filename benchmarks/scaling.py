"""What the full protocol costs on more cores, from what a round costs on one.

``python benchmarks/scaling.py`` measures, in one process on one core, the CPU time of rounds of the
study's MLP and of AdaptiveDualBranchNet (conf/paper) with one and with two local epochs: their
difference is what a training row costs an epoch, the rest is what scoring a validation row costs
and what comes with a round. Everything else is computed: the registry of conf/paper is simulated
for the sizes of its countries, which are laid out over workers as RayGrid does it, and a round
takes as long as its slowest worker and one exchange.

Three arrangements: one job, as the code works today (strategies and seeds one after another); the
five strategies as jobs side by side; the seeds of each as well. Jobs share the cores in equal
parts, which are as large as is best. Fits with early stopping are counted with all their epochs, so
they cost less in truth; making the registry, evaluation and report are left out (minutes).
The GPU is a model without a measurement: so many steps, at an assumed time each.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.cohort.splits import split_patients
from ms_pfl.federation.grids.ray.pool import assign
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.learning.parameters import NetworkKind
from ms_pfl.paradigms import trainings
from ms_pfl.parameters import Parameters
from ms_pfl.registry.synthetic.simulation import simulate
from support import (
    SEED,
    STUDY_CLIENTS,
    Rounds,
    client_settings,
    federation_of,
    machine,
    nodes_of,
    read_parameters,
    table,
)

CORES = (1, 2, 8, 32, 64, 512)
KINDS: tuple[NetworkKind, ...] = ("mlp", "adaptive")
HOUR = 3600.0


@dataclass(frozen=True)
class Country:
    """Rows of one seed's split."""

    train: int
    validation: int


@dataclass(frozen=True)
class Cost:
    """Seconds of one core: a training row and epoch, a validation row and scoring."""

    train: float
    score: float


@dataclass(frozen=True)
class Protocol:
    """Seconds of the parts of the protocol on some workers, from sizes and costs."""

    parameters: Parameters
    countries: Sequence[Country]
    costs: dict[NetworkKind, Cost]
    exchange: float

    def slowest(self, kind: NetworkKind, epochs: int, scorings: int, workers: int) -> float:
        """Seconds of the worker that has the most to do, with RayGrid's layout."""
        weights = {i: country.train for i, country in enumerate(self.countries)}
        loads = [0.0] * workers
        for i, owner in assign(weights, workers).items():
            country, cost = self.countries[i], self.costs[kind]
            loads[owner] += epochs * country.train * cost.train
            loads[owner] += scorings * country.validation * cost.score
        return max(loads)

    def federation(self, kind: NetworkKind, strategy: str, workers: int) -> float:
        """One seed's federation, all rounds."""
        epochs = self.parameters.training.strategies.of(strategy).epochs
        round_ = self.slowest(kind, epochs, 1, workers) + self.exchange
        return self.parameters.training.federation.rounds * round_

    def fit(self, epochs: int, workers: int) -> float:
        """One seed's fits of every country by itself, without an early stop."""
        return self.slowest("mlp", epochs, epochs, workers)

    def pooled(self) -> float:
        """One seed's centralized fit, which one worker does."""
        epochs, cost = self.parameters.training.centralized.epochs, self.costs["mlp"]
        train = sum(country.train for country in self.countries)
        validation = sum(country.validation for country in self.countries)
        return epochs * (train * cost.train + validation * cost.score)

    def parts(self, workers: int) -> dict[str, float]:
        """All seeds of each paradigm, one after another (centralized: as many as fit at once)."""
        seeds, strategies = len(self.parameters.seeds), strategies_of_the_study()
        tuned = self.fit(self.parameters.training.fine_tuned.epochs, workers)
        return {
            "centralized": math.ceil(seeds / workers) * self.pooled(),
            "local": seeds * self.fit(self.parameters.training.local.epochs, workers),
            "federated": seeds * sum(self.federation("mlp", s, workers) for s in strategies),
            "fine_tuned": seeds * len(strategies) * tuned,
            "adaptive": seeds * sum(self.federation("adaptive", s, workers) for s in strategies),
        }

    def one_job(self, cores: int) -> float:
        """As the code works: a worker per core, at most one per country."""
        return sum(self.parts(min(cores, len(self.countries))).values())

    def side_by_side(self, cores: int, *, seeds: bool) -> float:
        """Jobs for the strategies, or for each strategy and seed, on equal parts of the cores."""
        return min(
            packed(self.jobs(workers, seeds=seeds), cores // workers)
            for workers in range(1, min(cores, len(self.countries)) + 1)
        )

    def jobs(self, workers: int, *, seeds: bool) -> list[float]:
        """Seconds of the jobs, one per strategy with its three paradigms, and what has none."""
        number = len(self.parameters.seeds)
        alone = self.fit(self.parameters.training.local.epochs, workers)
        tuned = self.fit(self.parameters.training.fine_tuned.epochs, workers)
        made = []
        for strategy in strategies_of_the_study():
            federated = self.federation("mlp", strategy, workers) + tuned
            adaptive = self.federation("adaptive", strategy, workers)
            made += [federated, adaptive] * number if seeds else [number * (federated + adaptive)]
        if seeds:
            return made + [alone, self.pooled()] * number
        return [*made, number * alone + math.ceil(number / workers) * self.pooled()]

    def steps(self) -> int:
        """Return the steps of the optimizer in the whole protocol."""
        told, seeds = self.parameters.training, len(self.parameters.seeds)
        a_pass = sum(-(-country.train // told.optimizer.batch_size) for country in self.countries)
        pooled = -(-sum(country.train for country in self.countries) // told.centralized.batch_size)
        strategies = strategies_of_the_study()
        epochs = sum(told.strategies.of(name).epochs for name in strategies)
        passes = len(KINDS) * told.federation.rounds * epochs + told.local.epochs
        passes += len(strategies) * told.fine_tuned.epochs
        return seeds * (passes * a_pass + told.centralized.epochs * pooled)


def strategies_of_the_study() -> list[str]:
    """Return the strategies that federate networks."""
    return [training.strategy for training in trainings("study", paradigm="federated")]


def packed(jobs: Sequence[float], places: int) -> float:
    """Seconds until all jobs are done, the longest first, each on the place that is free first.

    >>> packed([3.0, 3.0, 2.0, 2.0, 2.0], 2)
    7.0
    """
    free = [0.0] * places
    for job in sorted(jobs, reverse=True):
        free[free.index(min(free))] += job
    return max(free)


def measured(kind: NetworkKind, parameters: Parameters, rows: int) -> Cost:
    """CPU seconds of a training row and epoch and of a scored row, in this process, on one core."""
    settings = client_settings(
        "adaptive" if kind == "adaptive" else "federated", parameters.training
    )
    data = federation_of(STUDY_CLIENTS, rows)
    codes = [country.splits[SEED] for country in data.countries.values()]
    n_train, n_validation = (int(sum((split == i).sum() for split in codes)) for i in (0, 1))
    with LocalGrid(data, nodes_of(data)) as grid:
        Rounds(grid, settings).seconds(1)
        seconds = {}
        for epochs in (1, 2):
            played = Rounds(grid, settings, epochs)
            began = time.process_time()
            wall = sum(played.seconds(1))
            seconds[epochs] = time.process_time() - began
            print(
                f"{kind}, {epochs} epochs: {seconds[epochs]:.1f} s of CPU, {wall:.1f} by the clock"
            )
    epoch = seconds[2] - seconds[1]
    # run_rounds scores twice: in the round, and after the last one
    return Cost(epoch / n_train, (seconds[1] - epoch) / (2 * n_validation))


def study_countries(parameters: Parameters) -> pd.DataFrame:
    """Rows of each country's splits, of the first seed: columns train, validation, test."""
    episodes = build_episodes(simulate(parameters.synthetic_registry), parameters.cohort).episodes
    splits = split_patients(episodes, parameters.seeds[:1], parameters.splits)
    rows = episodes[["patient_id", "country"]].merge(splits[["patient_id", "split"]])
    rows["country"] = rows["country"].astype(str)
    counts = rows.groupby(["country", "split"], observed=True).size().unstack(fill_value=0)
    return counts.sort_values("train", ascending=False)


def main(arguments: list[str] | None = None) -> int:
    """Measure a round, compute the rest."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--env", default="paper", help="environment of conf/ (default: paper)")
    parser.add_argument("--rows", type=int, default=100_000, help="of the measured federation")
    parser.add_argument(
        "--exchange", type=float, default=0.205,
        help="seconds of a round's messages and averaging (default: 0.205, of engine.py)",
    )  # fmt: skip
    parser.add_argument(
        "--gpu-step-ms", type=float, nargs="+", default=[0.5, 1.0, 2.0],
        help="assumed milliseconds of a step on a GPU (default: 0.5 1 2)",
    )  # fmt: skip
    asked = parser.parse_args(arguments)
    parameters = read_parameters(asked.env)
    counts = study_countries(parameters)
    countries = [Country(int(row["train"]), int(row["validation"])) for _, row in counts.iterrows()]
    costs = {kind: measured(kind, parameters, asked.rows) for kind in KINDS}
    protocol = Protocol(parameters, countries, costs, asked.exchange)

    share = counts["train"] / counts["train"].sum()
    print(f"\n{len(counts)} countries, {counts['train'].sum():,} training rows\n")
    largest = [
        [name, f"{counts['train'][name]:,}", f"{share[name]:.1%}"] for name in counts.index[:8]
    ]
    rest = [f"{len(counts) - 8} others", f"{counts['train'][8:].sum():,}", f"{share[8:].sum():.1%}"]
    print(table(["country", "training rows", "share"], [*largest, rest]))
    print(f"\nno more workers help a round than {1 / share.max():.1f} (1 / the largest share)\n")
    print(
        table(
            ["", "us a training row and epoch", "us a scored row"],
            [[kind, cost.train * 1e6, cost.score * 1e6] for kind, cost in costs.items()],
        )
    )
    print()
    told = parameters.training
    epochs = {name: told.strategies.of(name).epochs for name in strategies_of_the_study()}
    lines = []
    for cores in CORES:
        workers = min(cores, len(countries))
        rounds = [
            protocol.federation(kind, "fedavg", workers) / told.federation.rounds for kind in KINDS
        ]
        whole = (
            protocol.one_job(cores),
            protocol.side_by_side(cores, seeds=False),
            protocol.side_by_side(cores, seeds=True),
        )
        ideal = protocol.one_job(1) / cores
        lines.append([cores, workers, *rounds, *(value / HOUR for value in (*whole, ideal))])
    print(
        f"Seconds of a round of FedAvg ({epochs['fedavg']} epochs), hours of the whole protocol:\n"
    )
    header = ["cores", "workers", "round, MLP, s", "round, adaptive, s"]
    ways = ["one job, h", "strategies side by side, h", "seeds too, h", "if all cores worked, h"]
    print(table([*header, *ways], lines))
    print("\nHours of one job by paradigm:\n")
    parts = {cores: protocol.parts(min(cores, len(countries))) for cores in CORES}
    names = list(parts[1])
    print(
        table(
            ["cores", *names],
            [[cores, *(part[name] / HOUR for name in names)] for cores, part in parts.items()],
        )
    )
    steps = protocol.steps()
    print(f"\nOne GPU (not measured): {steps:,} steps of the optimizer, at an assumed\n")
    print(
        table(
            ["ms a step", "hours"],
            [
                [milliseconds, steps * milliseconds / 1e3 / HOUR]
                for milliseconds in asked.gpu_step_ms
            ],
        )
    )
    print(f"\n{machine()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
