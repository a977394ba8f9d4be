"""How long it takes to log a finished run to MLflow, and where the time goes.

``python benchmarks/mlflow_logging.py`` reads what ``kedro run`` left in ``data`` (another folder
with ``--data``) and logs it into a new store in a temporary folder: a parent, a child a training
and seed, tables, figures, the report, the data's digest, the models of the first seed and the
predictor. Opening
the store, which a run does before it trains, is timed separately. It prints the seconds of each
kind of call; wall and processor time tell whether something else was running.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import pandas as pd

from ms_pfl.federation.partitions import feature_columns
from ms_pfl.paradigms import trainings
from ms_pfl.tracking.parameters import TrackingParameters
from ms_pfl.tracking.record import TABLES, build_record
from ms_pfl.tracking.runs import close_parent, log_comparison, open_parent
from support import machine, read_parameters, table

_CALLS = (
    "create_run",
    "log_batch",
    "log_inputs",
    "log_table",
    "log_artifact",
    "create_logged_model",
    "log_model_artifacts",
    "finalize_logged_model",
    "log_outputs",
    "set_tag",
    "set_terminated",
)


class Clock:
    """Counts and times calls; one that is made inside another counts for the outer one."""

    def __init__(self) -> None:
        """Start at zero."""
        self.calls: dict[str, int] = defaultdict(int)
        self.seconds: dict[str, float] = defaultdict(float)
        self._inside = False

    def around(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """Return the function, timed under a name."""

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return function(*args, **kwargs)
            self._inside, start = True, time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self._inside = False
                self.calls[name] += 1
                self.seconds[name] += time.perf_counter() - start

        return timed


def main(arguments: list[str] | None = None) -> int:
    """Log a run and print the seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of a finished run")
    parser.add_argument("--env", default="base", help="folder of conf/ that the run was made with")
    given = parser.parse_args(arguments)
    told = _what_a_run_logs(given.data.resolve(), given.env)
    reporting = given.data.resolve() / "08_reporting"
    files = {"": [reporting / "report.html"], "figures": sorted(reporting.glob("*.png"))}

    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder)
        start = time.perf_counter()
        parent = open_parent(project, TrackingParameters(experiment="ms_pfl"), "pfl", {}, {})
        opened = time.perf_counter() - start
        _patch(clock)
        wall, processor = time.perf_counter(), time.process_time()
        record = build_record(**told)
        built = time.perf_counter() - wall
        children = log_comparison(parent, record, files, project_path=project)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        close_parent(parent, "FINISHED", project_path=project)
        size = sum(path.stat().st_size for path in project.rglob("*") if path.is_file())

    rows = sorted(clock.seconds.items(), key=lambda item: -item[1])
    lines: list[list[object]] = [[name, clock.calls[name], seconds] for name, seconds in rows]
    lines.append(["build_record", 1, built])
    lines.append(["the rest", "", wall - built - sum(clock.seconds.values())])
    print(table(["call", "times", "seconds"], lines))
    print(
        f"\n{len(children)} children, {len(record.models)} models: {wall:.1f} s "
        f"({processor:.1f} s of processor), {size / 1e6:.0f} MB; opening a new store "
        f"before: {opened:.1f} s. {machine()}"
    )
    return 0


def _patch(clock: Clock) -> None:
    import mlflow.pyfunc
    from mlflow.tracking import MlflowClient

    for name in _CALLS:
        setattr(MlflowClient, name, clock.around(getattr(MlflowClient, name), name))
    mlflow.pyfunc.save_model = clock.around(mlflow.pyfunc.save_model, "save_model")


def _what_a_run_logs(data: Path, env: str) -> dict[str, Any]:
    """Arguments of :func:`build_record`."""
    from safetensors.numpy import load_file

    reporting = data / "08_reporting"
    tables = {name: pd.read_parquet(reporting / f"{name}.parquet") for name in TABLES[2:]}
    episodes = pd.read_parquet(data / "03_primary" / "episodes.parquet")
    histories, models = [], {}
    for training in trainings():
        place = Path(*training)
        history = data / "07_model_output" / place / "history.parquet"
        if history.is_file():
            histories.append(pd.read_parquet(history))
            models[training] = load_file(data / "06_models" / place / "models.safetensors")
    headline, notes = (
        json.loads((reporting / f"{name}.json").read_text())
        for name in ("headline", "table1_notes")
    )
    for name in TABLES[:2]:
        tables[name] = pd.read_csv(reporting / f"{name}.csv", dtype=str, keep_default_na=False)
    return {
        "tables": tables,
        "headline": headline,
        "notes": notes,
        "figures": [],
        "episodes": episodes,
        "splits": pd.read_parquet(data / "05_model_input" / "splits.parquet"),
        "source": "benchmark",
        "features": feature_columns(episodes),
        "settings": read_parameters(env).model_dump(mode="json")["training"],
        "predictor": data / "06_models" / "predictor",
        "history": pd.concat(histories, ignore_index=True),
        "models": models,
    }


if __name__ == "__main__":
    sys.exit(main())
