"""How long the full registry takes: simulation, and from its files to what the models train on.

``python benchmarks/cohort.py`` simulates the registry of conf/paper into a temporary folder,
reads it back, labels its episodes, splits the patients for one seed and sums up each country's
training rows for the scaler. It prints the seconds of each stage, the seconds a million episodes
and the peak memory of the whole process.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.cohort.features import FEATURES
from ms_pfl.cohort.splits import split_patients
from ms_pfl.datasets import RegistryFolder
from ms_pfl.learning.scaler import Scaler, ScalerSums
from ms_pfl.registry.ingest.tables import read_folder
from ms_pfl.registry.synthetic.simulation import simulate
from support import read_parameters


def main(arguments: list[str] | None = None) -> int:
    """Run and time every stage."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--env", default="paper", help="folder of conf/ (default: paper)")
    parameters = read_parameters(parser.parse_args(arguments).env)
    seconds: dict[str, float] = {}

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds[stage] = time.perf_counter() - start

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "registry"
        with timed("simulate"):
            tables = simulate(parameters.synthetic_registry)
        with timed("write"):
            RegistryFolder(str(path)).save(vars(tables))
        del tables
        with timed("read and check"):
            tables = read_folder(path)
    with timed("label, features"):
        episodes = build_episodes(tables, parameters.cohort).episodes
    with timed("splits of one seed"):
        splits = split_patients(episodes, parameters.seeds[:1], parameters.splits)
    with timed("scaler sums"):
        training = splits.loc[splits["split"] == "train", "patient_id"]
        rows = episodes[episodes["patient_id"].isin(training)]
        sums = [
            ScalerSums.of(country[list(FEATURES)].to_numpy(dtype=np.float32))
            for _, country in rows.groupby("country", observed=True)
        ]
        Scaler.from_sums(sums)

    for stage, duration in seconds.items():
        print(f"{stage:28} {duration:8.1f} s")
    made = seconds["simulate"]
    prepared = sum(seconds.values()) - made - seconds["write"]
    million = len(episodes) / 1e6
    print(f"{'simulated in':28} {made:8.1f} s {made / million:8.1f} s a million episodes")
    print(
        f"{'preprocessed in':28} {prepared:8.1f} s {prepared / million:8.1f} s a million episodes"
    )
    size = episodes.groupby("country")["patient_id"].nunique()
    print(f"{'patients in the registry':28} {len(tables.patients):10,}")
    print(
        f"{'patients in the cohort':28} {size.sum():10,}, {len(size)} countries of {size.min()} on"
    )
    print(
        f"{'labelled episodes':28} {len(episodes):10,}, prevalence {episodes['label'].mean():.3f}"
    )
    # Kibibytes on Linux, bytes on macOS.
    unit = 2**30 if sys.platform == "darwin" else 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    print(f"{'peak memory':28} {peak:8.2f} GiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
