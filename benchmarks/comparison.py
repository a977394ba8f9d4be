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
from configuration import read_parameters
from measure import machine, table

from ms_pfl.pipelines import evaluation

BOUND = 60


def main(arguments: list[str] | None = None) -> int:
    """Run the nodes one by one and print their seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of a finished run")
    parser.add_argument("--env", default="base", help="folder of conf/ that the run was made with")
    given = parser.parse_args(arguments)
    told = read_parameters(given.env)
    comparison, protocol = told.comparison, told.protocol
    output = given.data / "07_model_output"
    predictions = {
        "_".join(path.parts[-3:-1]): pd.read_parquet(path)
        for path in sorted(output.glob("*/*/predictions.parquet"))
        if path.parts[-3] != "audit"
    }
    episodes = pd.read_parquet(given.data / "03_primary/episodes.parquet")
    episodes.attrs = {}

    rows: list[list[object]] = []

    def timed(name: str, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        wall, processor = time.perf_counter(), time.process_time()
        result = function(*arguments, **named)
        rows.append([name, time.perf_counter() - wall, time.process_time() - processor])
        return result

    federated = {name: own for name, own in predictions.items() if name.startswith("federated")}
    recalibrated = timed("recalibrate_federated", evaluation.recalibrate_federated, **federated)
    metrics, _, test = timed(
        "score_predictions", evaluation.score_predictions, protocol, recalibrated=recalibrated,
        **predictions,
    )  # fmt: skip
    summary, _ = timed("summarize_metrics", evaluation.summarize_metrics, metrics)
    timed("compare_models", evaluation.compare_models, test, summary, comparison)
    timed("compare_subgroups", evaluation.compare_subgroups, test, episodes, comparison)
    timed("trace_curves", evaluation.trace_curves, test)
    rows.append(["all", *(sum(float(str(row[i])) for row in rows) for i in (1, 2))])
    fits = test[["paradigm", "strategy", "seed"]].drop_duplicates()
    per_fit = len(test) / len(fits)
    print(f"{len(fits)} fits, {per_fit:,.0f} test episodes each, {comparison.replicates:,} draws\n")
    print(table(["node", "seconds", "of processor"], rows))
    print(f"\nbound: {BOUND} s; {machine()}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
