"""What the intervals of a predictor cost: one refit of each training to drawn patients.

``python benchmarks/bootstrap_patients.py`` simulates the registry of conf/base and refits logistic
regressions and boosted trees to draws of the training patients of the first seed, as the predictor
does (``prediction.bootstrap_patients``), in this process.
"""

from __future__ import annotations

import argparse
import time

from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.cohort.splits import split_patients
from ms_pfl.federation.partitions import federation_data
from ms_pfl.paradigms import Training
from ms_pfl.registry.synthetic.simulation import simulate
from ms_pfl.training.resampling import refit, start_of
from support import machine, read_parameters, table

_PARADIGMS = ("federated", "fine_tuned", "adaptive", "local")


def main(arguments: list[str] | None = None) -> int:
    """Refit, and print seconds and megabytes per draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="base")
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--strategies", nargs="+", default=["logistic", "trees"])
    given = parser.parse_args(arguments)
    told = read_parameters(given.env)
    episodes = build_episodes(simulate(told.synthetic_registry), told.cohort).episodes
    splits = split_patients(episodes, told.seeds, told.splits)
    data = federation_data(episodes, splits)
    seed = data.seeds[0]
    rows = []
    for strategy in given.strategies:
        for paradigm in _PARADIGMS:
            training = Training(paradigm, strategy)
            needed = dict.fromkeys([training, start_of(training) or training], data)
            wall, processor = time.perf_counter(), time.process_time()
            size = 0
            for draw in range(given.draws):
                (arrays,) = refit([training], needed, told.training, seed, draw).values()
                size += sum(array.nbytes for array in arrays.values())
            n = given.draws
            rows.append(
                [
                    training.name,
                    (time.perf_counter() - wall) / n,
                    (time.process_time() - processor) / n,
                    size / n / 1e6,
                ]
            )
    n_rows = sum(data.training_rows(country, seed) for country in data.countries)
    print(f"{len(data.countries)} countries, {n_rows:,} training rows of one seed\n")
    print(table(["training", "wall, s per draw", "processor, s", "MB"], rows))
    print(f"\n{machine()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
