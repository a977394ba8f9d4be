"""What masked sums cost: a round of a simulation, a round of real sites, and bytes.

``python benchmarks/secure_sums.py`` plays rounds of FedAvg over 32 clients in one process, training
and scoring included, with masks and without in turns, and compares the CPU time of a round, the
median over the turns. ``--sites`` starts the three sites of the demonstration instead
(deploy/demo.py: SuperLink with TLS, SuperNodes) and compares the median time between the questions
of two rounds at a site, with plain and with masked sums in turns, so that what else the machine
does falls on both.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.util
import itertools
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import yaml

from ms_pfl.federation.flower import payload_bytes, to_record
from ms_pfl.federation.grids.simulated import LocalGrid
from ms_pfl.federation.sums import times_rows
from support import PROJECT, Rounds, federation_of, machine, nodes_of, settings_of, table

CLIENTS, ROWS = 32, 30_000
WIDTH, LAYERS = 140, 2
SUMS = ("plain", "masked")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--sites", action="store_true", help="three real sites, not a simulation")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of a turn (default: 10)")
    parser.add_argument("--turns", type=int, default=3, help="turns of each (default: 3)")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"of all clients ({ROWS})")
    parser.add_argument("--width", type=int, default=WIDTH, help=f"of the network ({WIDTH})")
    asked = parser.parse_args(arguments)
    if asked.sites:
        of_sites(asked.rounds, asked.turns)
    else:
        of_a_simulation(asked.rounds, asked.turns, asked.rows, asked.width)
    print(f"\n{machine()}")
    return 0


def of_a_simulation(rounds: int, turns: int, rows: int, width: int) -> None:
    """Print the CPU seconds of a round of 32 clients, of which each masks with 31 others."""
    data, settings = federation_of(CLIENTS, rows), settings_of(LAYERS, width)
    played: dict[str, Rounds] = {}
    found: dict[str, list[float]] = {name: [] for name in SUMS}
    for name in SUMS:
        grid = LocalGrid(data, nodes_of(data), secure=name == "masked")
        played[name] = Rounds(grid, settings)
        played[name].seconds(1)  # what the first round of a process makes is not counted
    for _ in range(turns):
        for name in SUMS:
            began = time.process_time()
            played[name].seconds(rounds)
            found[name].append((time.process_time() - began) / rounds)
    shared = played["plain"].initial
    up = payload_bytes(to_record(times_rows(shared, 1, CLIENTS)))
    parameters = sum(array.size for array in shared.values())
    plain, masked = (statistics.median(found[name]) for name in SUMS)
    header = ["clients", "parameters", "plain, s", "masked, s", "ratio", "bytes up per client"]
    print(table(header, [[CLIENTS, parameters, plain, masked, masked / plain, float(up)]]))


def of_sites(rounds: int, turns: int) -> None:
    """Print the median time of a round of three real sites, and the bytes that a site sends.

    A turn is a run of its own. The same questions are answered again, with other masks.
    """
    demo_module = _demo()
    found: dict[str, list[float]] = {sums: [] for sums in SUMS}
    up: dict[str, int] = {}
    with _folder() as folder, demo_module.Demo(folder) as demo:
        demo.make_registries()
        demo.make_keys()
        demo.init_sites()
        for country in demo.countries:  # both kinds of sums
            path = demo.site(country) / "policy.yml"
            told = yaml.safe_load(path.read_text())
            path.write_text(yaml.safe_dump(told | {"plain_sums": "allow", "small_cells": "allow"}))
        demo.start_superlink()
        demo.register()
        for country in demo.countries:
            demo.start_site(country)
        log = demo.site(demo.countries[0]) / "security.jsonl"
        for turn in range(turns):
            for sums in SUMS:
                output = folder / f"{sums}-{turn}"
                done = demo.flwr_run(
                    "federated", tell=lambda line: None, sums=sums,
                    project=str(_project(folder, rounds)), output=str(output),
                )  # fmt: skip
                path = output / "federated.fedavg" / "history.csv"
                if not path.exists():
                    raise SystemExit(f"the run has not come to an end:\n{done.stdout}")
                found[sums] += list(_gaps(log))[1 - rounds :]
                history = path.read_text().splitlines()
                up[sums] = int(history[2].split(",")[history[0].split(",").index("bytes_up")])
    medians = {sums: statistics.median(gaps) for sums, gaps in found.items()}
    lines = [[sums, len(found[sums]), medians[sums], up[sums]] for sums in SUMS]
    print(table(["sums", "rounds", "median, s", "bytes up per site and round"], lines))
    print(f"\nratio: {medians['masked'] / medians['plain']:.3f}")


def _gaps(log: Path) -> Iterator[float]:
    """Seconds between the questions of two rounds, as a site's log has them."""
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    times = [
        datetime.datetime.fromisoformat(entry["time"])
        for entry in entries
        if entry["event"] == "asked" and entry["facts"]["question"] == "train"
    ]
    for before, after in itertools.pairwise(times):
        yield (after - before).total_seconds()


def _project(folder: Path, rounds: int) -> Path:
    """Return a project folder whose demonstration has so many rounds."""
    project = folder / "project"
    if not project.exists():
        shutil.copytree(PROJECT / "conf", project / "conf")
        path = project / "conf" / "deploy_demo" / "parameters.yml"
        told = yaml.safe_load(path.read_text())
        told["training"]["federation"]["rounds"] = rounds
        path.write_text(yaml.safe_dump(told))
    return project


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="ms_pfl-secure-sums-") as folder:
        yield Path(folder)


def _demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", PROJECT / "deploy" / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["demo"] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    raise SystemExit(main())
