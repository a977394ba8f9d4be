"""How long the comparison of a finished run takes, and where the time goes.

``python benchmarks/comparison.py`` reads the predictions that ``kedro run`` left in ``data`` and
does what the pipeline ``evaluation`` does with them, with the parameters of ``conf/base``. With
``--made-up`` no run is needed: registry and splits are those of the configuration, and the risks
are drawn, which takes as long.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ms_pfl.paradigms import trainings
from ms_pfl.parameters import Parameters
from ms_pfl.pipelines.evaluation import nodes
from ms_pfl.pipelines.training.nodes import gather_tables
from ms_pfl.training.simulation import PREDICTION_COLUMNS
from support import machine, read_parameters, table

BOUND = 60


def main(arguments: list[str] | None = None) -> int:
    """Run the nodes one by one and print their seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of a finished run")
    parser.add_argument("--env", default="base", help="folder of conf/ that the run was made with")
    parser.add_argument("--made-up", action="store_true", help="draw the risks; no run is needed")
    given = parser.parse_args(arguments)
    told = read_parameters(given.env)
    comparison, protocol = told.comparison, told.training.protocol
    tables = made_up(told) if given.made_up else of_run(given.data)
    predictions, episodes, split_counts = tables

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


def of_run(data: Path) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return predictions, episodes and counts by split that a run has left."""
    output = data / "07_model_output"
    predictions = gather_tables(
        *(
            pd.read_parquet(output / training.paradigm / training.strategy / "predictions.parquet")
            for training in trainings("study")
        )
    )
    episodes = pd.read_parquet(data / "03_primary/episodes.parquet")
    return predictions, episodes, pd.read_csv(data / "08_reporting/split_counts.csv")


def made_up(told: Parameters) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the same of a simulated registry, with risks that agree with the labels by chance."""
    from ms_pfl.cohort.episodes import build_episodes
    from ms_pfl.cohort.splits import split_patients
    from ms_pfl.registry.synthetic.simulation import simulate

    episodes = build_episodes(simulate(told.synthetic_registry), told.cohort).episodes
    splits = split_patients(episodes, told.seeds, told.splits)
    rows = episodes[["episode_id", "patient_id", "country", "label"]].merge(
        splits[splits["split"] != "train"], on=["country", "patient_id"]
    )
    rows = rows.sort_values(["seed", "country", "patient_id", "episode_id"], ignore_index=True)
    random = np.random.default_rng(0)
    common = random.normal(-1.2, 0.4, len(rows)) + 0.6 * (rows["label"] - 0.25)
    parts = [
        rows.assign(
            paradigm=training.paradigm,
            strategy=training.strategy,
            probability=1 / (1 + np.exp(-common - random.normal(0, 0.3, len(rows)))),
        )
        for training in trainings("study")
    ]
    table = pd.concat(parts, ignore_index=True).astype({"label": "int8", "seed": "int64"})
    counts = splits.groupby(["seed", "country", "split"]).size().unstack(fill_value=0)
    return table[list(PREDICTION_COLUMNS)], episodes, counts.add_suffix("_patients").reset_index()


if __name__ == "__main__":
    raise SystemExit(main())
