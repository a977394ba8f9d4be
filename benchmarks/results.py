"""Table 1 and what personalization gains, by learner, on standard and on encoded inputs.

``python benchmarks/results.py FOLDER --env=heart`` trains on the episodes and splits of a finished
run (its ``data`` folder) with the settings of conf/base and of an environment: the five paradigms
with networks (FedAvg) and with logistic regression, all seeds, in this process. It prints Table 1,
with the log-loss and a digest of predictions and models, and the planned differences from the
federated model of the same learner. Equal digests are equal bits. With ``--finished`` it takes the
predictions of the run itself and trains nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ms_pfl.evaluation.bootstrap import draw_patients
from ms_pfl.evaluation.differences import planned_differences
from ms_pfl.evaluation.evaluate import evaluate
from ms_pfl.evaluation.scoring import check_predictions, score, summarize
from ms_pfl.federation.parameters import RayParameters
from ms_pfl.paradigms import PARADIGMS, Training, model_name, trainings
from ms_pfl.parameters import Parameters
from ms_pfl.training.simulation import Compute, train_tables
from rounds import digest
from support import machine, read_parameters, table

WANTED = ("pooled", "none", "fedavg", "logistic")
STUDY = ("centralized", "local", "federated", "fine_tuned", "adaptive")
COLUMNS = (
    ("roc_auc", "pooled"), ("roc_auc", "macro"), ("roc_auc", "weighted"),
    ("pr_auc", "pooled"), ("log_loss", "pooled"),
)  # fmt: skip


def main() -> None:
    """Train everything and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="data folder of a finished run")
    parser.add_argument("--env", default="base", help="configuration (default: base)")
    parser.add_argument("--inputs", nargs="+", default=["standard", "encoded"], metavar="KIND")
    parser.add_argument("--strategies", nargs="+", default=WANTED)
    parser.add_argument(
        "--finished",
        action="store_true",
        help="predictions of the finished run: nothing is trained",
    )
    asked = parser.parse_args()
    episodes = pd.read_parquet(asked.folder / "03_primary/episodes.parquet")
    splits = pd.read_parquet(asked.folder / "05_model_input/splits.parquet")
    parameters = read_parameters(asked.env)
    wanted = [own for own in trainings() if own.strategy in asked.strategies]
    wanted = [own for own in wanted if own.paradigm in STUDY]
    if asked.finished:
        folder = asked.folder / "07_model_output"
        found = [pd.read_parquet(folder / "/".join(own) / "predictions.parquet") for own in wanted]
        for text in tables(wanted, pd.concat(found, ignore_index=True), parameters):
            print(text, flush=True)
        return
    for kind in asked.inputs:
        print(f"\n{asked.env}, {kind} inputs\n")
        for text in told(wanted, episodes, splits, parameters, kind):
            print(text, flush=True)
    print(f"\n{machine()}")


def told(
    wanted: list[Training],
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    parameters: Parameters,
    kind: str,
) -> Iterator[str]:
    """Train with one kind of inputs; yield Table 1 and the differences."""
    settings = parameters.training
    inputs = settings.inputs.model_copy(update={"kind": kind})
    settings = settings.model_copy(update={"inputs": inputs})
    compute = Compute(RayParameters(num_workers=0, address=None), "cpu")
    predictions, digests, seconds = [], {}, {}
    models: dict[Training, Mapping[str, np.ndarray]] = {}
    for training in wanted:
        before = PARADIGMS[training.paradigm].starts_from
        start = None if before is None else models[Training(before, training.strategy)]
        began = time.process_time()
        found = train_tables(training, episodes, splits, settings, compute, lambda _: None, start)
        models[training] = found.models
        seconds[training] = time.process_time() - began
        predictions.append(found.predictions)
        digests[training] = digest(found)
    yield from tables(
        wanted,
        pd.concat(predictions, ignore_index=True),
        parameters,
        {own: [seconds[own], digests[own]] for own in wanted},
    )


def tables(
    wanted: list[Training],
    predictions: pd.DataFrame,
    parameters: Parameters,
    more: Mapping[Training, list[Any]] | None = None,
) -> Iterator[str]:
    """Score predictions; yield Table 1, with seconds and digest if there are any, and differences.

    Args:
        wanted: the trainings that they are of.
        predictions: of all of them.
        parameters: of the run.
        more: seconds of CPU time and digest of each training.
    """
    test = check_predictions(predictions)
    summary = summarize(score(test)).set_index(["paradigm", "strategy", "metric", "scope"])
    lines = []
    for training in wanted:
        cells = [summary.loc[(*training, *column)] for column in COLUMNS]
        figures = [f"{cell['mean'].item():.3f} ± {cell['sd'].item():.3f}" for cell in cells]
        lines.append([model_name(*training), *figures, *(more[training] if more else [])])
    names = ["s of CPU", "digest"] if more else []
    yield table(["", *(" ".join(c) for c in COLUMNS), *names], lines)

    comparison = parameters.comparison
    estimates = evaluate(
        test, ("pooled", "country"), draw_patients(test, comparison.replicates, comparison.seed)
    )
    planned = planned_differences(estimates, None, comparison.margin)
    shown = planned[
        (planned["scope"] == "pooled")
        & planned["metric"].isin(["roc_auc", "log_loss"])
        & (planned["reference"] == "federated")
    ]
    yield ""
    yield table(
        ["against the federated model", "metric", "difference", "95 % interval", "verdict"],
        [
            [model_name(row.paradigm, row.strategy), row.metric, f"{row.difference:+.4f}",
             f"{row.low:+.4f} to {row.high:+.4f}", row.verdict]
            for row in shown.itertuples()
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
