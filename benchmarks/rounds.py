"""CPU time of a round, and digests of what is trained, of this checkout and of another one.

``python benchmarks/rounds.py --against ../before`` trains on the registry of conf/base (standard
inputs, one seed, all clients in this process, on the CPU) with the code of both checkouts in turns.
A round is the difference between the shortest training of 43 and the shortest of 3 rounds, without
patience, divided by 40; for trainings without rounds it is the whole training. Predictions, models
and history (but for its seconds) make the digest: equal digests are equal bits.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import time
from pathlib import Path

import pandas as pd

from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.cohort.splits import split_patients
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.paradigms import PARADIGMS, Training
from ms_pfl.registry.synthetic.simulation import simulate
from ms_pfl.training.simulation import Compute, Outcome, train_tables
from support import PROJECT, apart, machine, read_parameters, table

FEW = 3
TRAININGS = ("federated.fedavg", "federated.fedprox", "adaptive.fedavg", "adaptive.fedprox")


def main(arguments: list[str] | None = None) -> int:
    """Measure in turns; 1 where the digests differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("trainings", nargs="*", default=TRAININGS, metavar="PARADIGM.STRATEGY")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="another checkout")
    parser.add_argument("--turns", type=int, default=3, help="turns of each (default: 3)")
    parser.add_argument("--rounds", type=int, default=40, help="rounds beyond 3 (default: 40)")
    parser.add_argument("--tables", type=Path, help="folder to keep the tables in")
    parser.add_argument("--one", metavar="PARADIGM.STRATEGY", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.one:
        print(json.dumps(measured(asked.one, asked.tables, asked.rounds)))
        return 0
    trees = [tree.resolve() for tree in (asked.against, PROJECT) if tree is not None]
    lines, equal = [], True
    with tempfile.TemporaryDirectory() as folder:
        kept = asked.tables or Path(folder)
        write_tables(kept)
        for training in asked.trainings:
            told: dict[Path, list[dict[str, float | str]]] = {tree: [] for tree in trees}
            for _ in range(asked.turns):
                for tree in trees:
                    os.environ["PYTHONPATH"] = str(tree / "src")
                    given = ("--one", training, "--tables", kept, "--rounds", asked.rounds)
                    told[tree].append(apart(__file__, *given))
            costs = [_cost(training, turns, asked.rounds) for turns in told.values()]
            digests = sorted({str(turn["digest"]) for turns in told.values() for turn in turns})
            equal &= len(digests) == 1
            lines.append([training, *costs, costs[0] / costs[-1], " ".join(digests)])
    names = [f"ms, {'this' if tree == PROJECT else 'the other'} checkout" for tree in trees]
    print(table(["training", *names, "ratio", "digest"], lines))
    print(f"\n{machine()}")
    return 0 if equal else 1


def _cost(training: str, turns: list[dict[str, float | str]], rounds: int) -> float:
    """Milliseconds of CPU time of a round, or of a training without rounds."""
    few, many = (min(float(turn[name]) for turn in turns) for name in ("few", "many"))
    in_rounds = PARADIGMS[training.partition(".")[0]].rounds
    return 1e3 * ((many - few) / rounds if in_rounds else min(few, many))


def write_tables(folder: Path) -> None:
    """Write episodes and splits of one seed, where they are not there yet."""
    if (folder / "splits.parquet").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    parameters = read_parameters()
    registry = simulate(parameters.synthetic_registry)
    episodes = build_episodes(registry, parameters.cohort).episodes
    episodes.to_parquet(folder / "episodes.parquet")
    splits = split_patients(episodes, parameters.seeds[:1], parameters.splits)
    splits.to_parquet(folder / "splits.parquet")


def measured(name: str, folder: Path, rounds: int) -> dict[str, float | str]:
    """CPU seconds of a training of few and of many rounds, and the digest of the latter."""
    training = Training(*name.split("."))
    episodes, splits = (
        pd.read_parquet(folder / f"{part}.parquet") for part in ("episodes", "splits")
    )
    told = read_parameters().training
    inputs = told.inputs.model_copy(update={"kind": "standard"})
    compute = Compute(RayParameters(num_workers=0, address=None), "cpu")

    def train(rounds: int) -> tuple[float, Outcome]:
        federation = told.federation.model_copy(update={"rounds": rounds, "patience": None})
        settings = told.model_copy(update={"federation": federation, "inputs": inputs})
        began = time.process_time()
        outcome = train_tables(training, episodes, splits, settings, compute, lambda _: None)
        return time.process_time() - began, outcome

    train(1)  # what the first training of a process imports is not counted
    few, _ = train(FEW)
    many, outcome = train(FEW + rounds)
    return {"few": few, "many": many, "digest": digest(outcome)}


def digest(outcome: Outcome) -> str:
    """Return the beginning of a SHA-256 over all that a training tells but its seconds."""
    found = hashlib.sha256()
    for name, array in sorted(outcome.models.items()):
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(array.tobytes())
    for frame in (outcome.predictions, outcome.history.drop(columns="seconds")):
        found.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
    return found.hexdigest()[:12]


if __name__ == "__main__":
    raise SystemExit(main())
