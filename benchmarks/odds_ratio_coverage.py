"""How often the 95 % intervals of odds ratios and shape curves hold what the labels were drawn by.

``python benchmarks/odds_ratio_coverage.py --project=DIR --env=base --replicates=60`` takes the
episodes, splits and federated logistic regression of a finished run of ``further_methods``. Again
and again it draws labels by the regression's risks of its first seed, alike within a patient
(a Gaussian copula), fits as the run does in each seed, and counts the intervals that hold the odds
ratio of the regression that the labels were drawn by. A base run takes two seconds per replicate.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy.special import ndtr

from ms_pfl.federation.partitions import POOLED, FederationData, federation_data
from ms_pfl.learning import logistic
from ms_pfl.learning.parameters import LogisticParameters
from ms_pfl.learning.scoring import probabilities
from ms_pfl.paradigms import Training
from ms_pfl.studies.coefficients.contrasts import Fit
from ms_pfl.studies.coefficients.effects import TrainedRows, effects_of
from ms_pfl.training.bundle import ModelBundle
from ms_pfl.training.train import Start
from support import read_parameters

ALIKE = 0.5
"""Correlation of what two labels of a patient are drawn by."""
Rows = NDArray[np.float32]


class Coverage(NamedTuple):
    """Shares of intervals that hold the odds ratio; of curves without their references."""

    odds_ratios: float
    curves: float


def coverage(
    data: FederationData,
    truth: Start,
    settings: LogisticParameters,
    seeds: Sequence[int],
    replicates: int,
) -> Coverage:
    """Draw labels by a regression, fit in some seeds, and count."""
    pooled, held = data.rows(POOLED), TrainedRows.of(data)
    x = truth.inputs.apply(pooled.x)
    patients = pooled.patient_codes
    theta = logistic.theta_of(truth.arrays)
    risks = probabilities(logistic.logits(truth.arrays, x))
    drawn_by = effects_of(held, [Fit(truth.inputs, theta, np.zeros((len(theta), len(theta))))])
    random = np.random.default_rng(0)
    hits: list[list[float]] = []
    for _ in range(replicates):
        own = random.normal(size=int(patients.max()) + 1)[patients]
        normal = np.sqrt(ALIKE) * own + np.sqrt(1 - ALIKE) * random.normal(size=len(x))
        y = (ndtr(normal) < risks).astype(np.float32)
        fits = []
        for seed in seeds:
            train = pooled.splits[seed] == 0
            fits.append(_fit(truth, x[train], y[train], patients[train], settings))
        ratios, curves = effects_of(held, fits)
        away = np.log(ratios["odds_ratio_high"]) - ratios["log_odds_ratio"]
        apart = ratios["log_odds_ratio"] - drawn_by[0]["log_odds_ratio"]
        at = drawn_by[1]["log_odds_ratio"]
        inside = curves["low"].le(at) & at.le(curves["high"])
        moved = curves["value"] != curves["reference"]
        hits.append([float((apart.abs() <= away).mean()), float(inside[moved].mean())])
    return Coverage(*np.mean(hits, axis=0).tolist())


def _fit(
    truth: Start, x: Rows, y: Rows, patients: NDArray[np.int32], settings: LogisticParameters
) -> Fit:
    steps = logistic.steps(x.shape[1], lambda held: logistic.sums(held, x, y), settings)
    *_, (found, _) = steps
    total = logistic.clustered_sums(found, x, y, patients)
    covariance = logistic.sandwich(total["hessian"], total["meat"], settings.ridge)
    return Fit(truth.inputs, logistic.theta_of(found), covariance)


def main(arguments: list[str] | None = None) -> None:
    """Print the coverage with one seed, and with all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path, default=Path(), help="whose data/ is read")
    parser.add_argument("--env", default="base", help="folder of conf/ that the run had")
    parser.add_argument("--replicates", type=int, default=60, help="times that labels are drawn")
    chosen = parser.parse_args(arguments)
    folder, settings = chosen.project / "data", read_parameters(chosen.env).training
    data = federation_data(
        pd.read_parquet(folder / "03_primary/episodes.parquet"),
        pd.read_parquet(folder / "05_model_input/splits.parquet"),
    )
    models = load_file(folder / "06_models/federated/logistic/models.safetensors")
    bundle = ModelBundle.of(models, Training("federated", "logistic"), settings, data, "cpu")
    truth = bundle.starts()[bundle.seeds[0]]
    for seeds in (bundle.seeds[:1], bundle.seeds):
        found = coverage(data, truth, settings.strategies.logistic, seeds, chosen.replicates)
        print(
            f"{len(seeds)} seeds, {chosen.replicates} replicates: 95 % intervals hold "
            f"{found.odds_ratios:.1%} of odds ratios, {found.curves:.1%} of values of curves",
            flush=True,
        )


if __name__ == "__main__":
    main()
