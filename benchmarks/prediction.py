"""How long new patients take, and where the time goes.

``python benchmarks/prediction.py`` simulates 1,000 new patients (another seed than the registry's),
writes their four tables as CSV files into a temporary folder, and predicts their risks with the
predictor that ``kedro run`` left in ``data`` (another folder with ``--predictor``): as ``kedro run
--pipeline=prediction`` does, without the start of Python and Kedro. Imports are told apart.

``python benchmarks/prediction.py --intercepts data/07_model_output`` asks of the predictions of a
finished run what correcting them is worth: log-loss on test rows as they are, with an intercept
(and a slope) of each country's own, and with the predictor's intercepts.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from configuration import read_parameters
from measure import machine, table

from ms_pfl.evaluation.calibration import fit_recalibration, logit
from ms_pfl.evaluation.metrics import METRICS
from ms_pfl.prediction.making import fit_intercepts
from ms_pfl.prediction.predictor import ALL

BOUND = 10
_PARADIGMS = ("adaptive", "fine_tuned", "federated")
_WAYS = ("as they are", "own intercept", "own intercept and slope", "the predictor's")
_FEW = 60


def main(arguments: list[str] | None = None) -> int:
    """Predict and print the seconds; 1 where they are over the bound."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--predictor", type=Path, default=Path("data/06_models/predictor"))
    parser.add_argument("--patients", type=int, default=1000)
    parser.add_argument("--intercepts", type=Path, help="folder of predictions to correct")
    given = parser.parse_args(arguments)
    if given.intercepts is not None:
        print(correct(given.intercepts))
        return 0
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


def correct(folder: Path) -> str:
    """A table of log-losses a test episode, of the personal and the global FedAvg models."""
    rows = []
    for paradigm, strategy in (*((p, "fedavg") for p in _PARADIGMS), ("local", "none")):
        predictions = pd.read_parquet(folder / paradigm / strategy / "predictions.parquet")
        predictions.attrs = {}
        losses: dict[tuple[bool, str], float] = dict.fromkeys(
            ((small, way) for small in (False, True) for way in _WAYS), 0.0
        )
        episodes = {False: 0, True: 0}
        for _, of_seed in predictions.groupby("seed"):
            validation = of_seed[of_seed["split"] == "validation"]
            drawn = fit_intercepts(validation)
            for country, test in of_seed[of_seed["split"] == "test"].groupby("country"):
                own = validation[validation["country"] == country]
                x, y = logit(own["probability"].to_numpy()), own["label"].to_numpy()
                fits = [(0.0, 1.0), *(fit_recalibration(y, x, slope=s) for s in (False, True))]
                fits.append((drawn.get(str(country), drawn[ALL]), 1.0))
                z, labels = logit(test["probability"].to_numpy()), test["label"].to_numpy()
                small = len(own) < _FEW
                episodes[small] += len(test)
                for way, (a, b) in zip(_WAYS, fits, strict=True):
                    risks = 1 / (1 + np.exp(-(a + b * z)))
                    loss = METRICS["log_loss"].plain(labels, risks)
                    losses[small, way] += loss * len(test)
        for small in (False, True):
            name = f"{paradigm}, {'fewer than' if small else 'from'} {_FEW} validation episodes"
            each = [losses[small, way] / max(episodes[small], 1) for way in _WAYS]
            rows.append([name, episodes[small], *(f"{value:.4f}" for value in each)])
    return table(["model, countries with", "test episodes", *_WAYS], rows)


def _imports() -> None:
    from ms_pfl.prediction import new_patients
    from ms_pfl.registry.synthetic import simulation as synthetic

    assert new_patients
    assert synthetic


if __name__ == "__main__":
    raise SystemExit(main())
