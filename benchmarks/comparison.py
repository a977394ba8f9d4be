"""How long the comparison of a finished run takes, and where the time goes.

``python benchmarks/comparison.py`` reads the predictions that ``kedro run`` left in ``data`` and
does what the pipeline ``evaluation`` does with them, with the parameters of ``conf/base``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from ms_pfl.paradigms import trainings
from ms_pfl.pipelines.evaluation import nodes
from ms_pfl.pipelines.training.nodes import gather_tables
from support import machine, read_parameters, table

BOUND = 60


def main(arguments: list[str] | None = None) -> int:
    """Run the nodes one by one and print their seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of a finished run")
    parser.add_argument("--env", default="base", help="folder of conf/ that the run was made with")
    given = parser.parse_args(arguments)
    told = read_parameters(given.env)
    comparison, protocol = told.comparison, told.training.protocol
    output = given.data / "07_model_output"
    predictions = gather_tables(
        *(
            pd.read_parquet(output / training.paradigm / training.strategy / "predictions.parquet")
            for training in trainings("study")
        )
    )
    episodes = pd.read_parquet(given.data / "03_primary/episodes.parquet")

    split_counts = pd.read_csv(given.data / "08_reporting/split_counts.csv")

    rows: list[list[object]] = []

    def timed(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        wall, processor = time.perf_counter(), time.process_time()
        result = function(*arguments)
        rows.append([name, time.perf_counter() - wall, time.process_time() - processor])
        return result

    recalibrated = timed("recalibrate_federated", nodes.recalibrate_federated, predictions)
    ensemble = timed("combine_candidates", nodes.combine_candidates, predictions)
    made = recalibrated, ensemble
    choice, served = timed("choose_model", nodes.choose_model, predictions, *made, told.prediction)
    metrics, _, test = timed(
        "score_predictions", nodes.score_predictions, predictions, *made, served, protocol
    )
    summary, _ = timed("summarize_metrics", nodes.summarize_metrics, metrics)
    timed("compare_models", nodes.compare_models, test, summary, split_counts, comparison)
    timed("compare_subgroups", nodes.compare_subgroups, test, episodes, comparison)
    timed("trace_curves", nodes.trace_curves, test)
    rows.append(["all", *(sum(float(str(row[i])) for row in rows) for i in (1, 2))])
    fits = test[["paradigm", "strategy", "seed"]].drop_duplicates()
    per_fit = len(test) / len(fits)
    print(f"{len(fits)} fits, {per_fit:,.0f} test episodes each, {comparison.replicates:,} draws\n")
    print(table(["node", "seconds", "of processor"], rows))
    print(f"\n{' '.join(choice['why'])}")
    print(f"\nbound: {BOUND} s; {machine()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
