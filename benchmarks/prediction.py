"""How long new patients take, and where the time goes.

``python benchmarks/prediction.py`` simulates 1,000 new patients (another seed than the registry's),
writes their four tables as CSV files into a temporary folder, and predicts their risks with the
predictor that ``kedro run`` left in ``data`` (another folder with ``--predictor``): as ``kedro run
--pipeline=prediction`` does, without the start of Python and Kedro. Imports are timed separately.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import machine, read_parameters, table

BOUND = 10
_PARADIGMS = ("adaptive", "fine_tuned", "federated")
_WAYS = ("as they are", "own intercept", "own intercept and slope", "the predictor's")
_FEW = 60


def main(arguments: list[str] | None = None) -> int:
    """Predict and print the seconds; 1 where they are over the bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--predictor", type=Path, default=Path("data/06_models/predictor"))
    parser.add_argument("--patients", type=int, default=1000)
    given = parser.parse_args(arguments)
    rows: list[list[object]] = []

    def timed(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        wall, processor = time.perf_counter(), time.process_time()
        result = function(*arguments)
        rows.append([name, time.perf_counter() - wall, time.process_time() - processor])
        return result

    timed("imports", _imports)
    from ms_pfl.prediction import new_patients
    from ms_pfl.prediction.predictor import read_predictor
    from ms_pfl.registry.synthetic.simulation import simulate

    told = read_parameters()
    people = told.synthetic_registry.model_copy(
        update={"n_patients": given.patients, "seed": told.synthetic_registry.seed + 1}
    )
    with tempfile.TemporaryDirectory() as folder:
        for name, frame in simulate(people).frames().items():
            frame.to_csv(Path(folder) / f"{name}.csv", index=False)
        predictor = timed("read and check the predictor", read_predictor, given.predictor)
        tables, _ = timed(
            "read and check the tables", new_patients.read_new_patients,
            folder, predictor, told.ingest,
        )  # fmt: skip
    found = timed("features, risks, drivers", new_patients.score_patients, tables, predictor)
    after = [sum(float(str(row[i])) for row in rows[1:]) for i in (1, 2)]
    rows.append(["all after the imports", *after])
    description = predictor.description
    scored = int((found["not_scored_because"] == "").sum())
    print(
        f"{len(found):,} patients ({len(tables.visits):,} visits), {scored:,} scored; predictor: "
        f"{description.prediction.paradigm}, {len(description.seeds)} seeds, "
        f"{len(description.countries)} countries\n"
    )
    print(table(["step", "wall, s", "processor, s"], rows))
    print(f"\n{machine()}; bound {BOUND} s")
    return int(after[0] >= BOUND)


def _imports() -> None:
    from ms_pfl.prediction import new_patients
    from ms_pfl.registry.synthetic import simulation as synthetic

    assert new_patients
    assert synthetic


if __name__ == "__main__":
    raise SystemExit(main())
