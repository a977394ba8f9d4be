"""A model for the store whose answers can be worked out by hand, and the fits beside it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

import sum_model
from fits_factory import make_history

CODE = Path(sum_model.__file__)
EXAMPLE = pd.DataFrame({"country": ["A", "B"], "x": [0.25, 0.5], "y": [0.0, 0.25]})


def two_fits() -> pd.DataFrame:
    row = {"paradigm": "fine_tuned", "strategy": "fedavg", "scope": "pooled", "country": ""}
    counts = {"n_episodes": 4, "n_positive": 2, "n_countries": 2, "n_left_out": 0}
    return pd.DataFrame(
        [
            {**row, "seed": seed, "metric": "roc_auc", "value": value, **counts}
            for seed, value in ((0, 0.75), (1, 0.5))
        ]
    )


def one_history() -> pd.DataFrame:
    models = [("fine_tuned", "fedavg")]
    return make_history(countries={"A": 2, "B": 2}, seeds=(0,), models=models, rounds=3)
