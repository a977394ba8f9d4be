"""Federated trees against scikit-learn's histogram gradient boosting on pooled rows.

``python benchmarks/boosting.py FOLDER --env=full`` takes the episodes and splits of a finished run
(its ``data`` folder), trains ``federated.trees`` with the settings of the environment, fits
HistGradientBoostingClassifier on the pooled training rows with like settings (rate, depth, bins,
L2, share of features; at least as many rows per leaf as the least Hessian is worth), both with the
number of trees that has the lowest log-loss on the validation rows, and prints ROC-AUC and log-loss
of the test rows, seed by seed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss, roc_auc_score

from ms_pfl.federation.parameters import RayParameters
from ms_pfl.federation.partitions import feature_columns
from ms_pfl.learning.parameters import TreesParameters
from ms_pfl.paradigms import Training
from ms_pfl.training.simulation import Compute, train_tables
from support import machine, read_parameters, table


def main() -> None:
    """Train both and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="data folder of a finished run")
    parser.add_argument("--env", default="base", help="configuration (default: base)")
    asked = parser.parse_args()
    episodes = pd.read_parquet(asked.folder / "03_primary/episodes.parquet")
    splits = pd.read_parquet(asked.folder / "05_model_input/splits.parquet")
    settings = read_parameters(asked.env).training
    trees = settings.strategies.trees
    compute = Compute(RayParameters(num_workers=0, address=None), "cpu")
    training = Training("federated", "trees")
    found = train_tables(training, episodes, splits, settings, compute, lambda _: None, None)
    own = found.predictions[found.predictions["split"] == "test"]
    lines = []
    for seed, predictions in own.groupby("seed"):
        labels, risks = pooled(episodes, splits[splits["seed"] == seed], trees)
        pair = [(labels, risks), (predictions["label"], predictions["probability"])]
        figures = [f"{measure(*of):.4f}" for measure in (roc_auc_score, log_loss) for of in pair]
        lines.append([seed, *figures])
    columns = ["ROC-AUC, scikit-learn", "federated trees", "log-loss, scikit-learn", "federated"]
    print(table(["seed", *columns], lines))
    print(f"\n{machine()}")


def pooled(
    episodes: pd.DataFrame, splits: pd.DataFrame, trees: TreesParameters
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Fit scikit-learn's trees on the pooled rows of a seed; labels and risks of the test rows."""
    key = ["country", "patient_id"]
    rows = episodes.merge(splits[[*key, "split"]], on=key)
    x, y = rows[feature_columns(episodes)], rows["label"].to_numpy()
    train, validation, test = (
        (rows["split"] == name).to_numpy() for name in ("train", "validation", "test")
    )
    prevalence = float(y[train].mean())
    model = HistGradientBoostingClassifier(
        learning_rate=trees.learning_rate, max_iter=2 * trees.trees, max_depth=trees.depth,
        max_leaf_nodes=None, max_bins=trees.bins, l2_regularization=trees.l2,
        min_samples_leaf=round(trees.least_hessian / (prevalence * (1 - prevalence))),
        max_features=trees.columns, early_stopping=False, random_state=0,
    ).fit(x[train], y[train])  # fmt: skip
    losses = [
        log_loss(y[validation], risks[:, 1]) for risks in model.staged_predict_proba(x[validation])
    ]
    best = int(np.argmin(losses))
    for number, risks in enumerate(model.staged_predict_proba(x[test])):
        if number == best:
            return y[test], risks[:, 1]
    raise AssertionError("there is at least one tree")


if __name__ == "__main__":
    main()
