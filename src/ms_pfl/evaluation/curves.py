"""Learning curves: a fit's course over rounds, summed over its countries."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.paradigms import model_name

_VALUES = ["n_validation", "validation_loss", "validation_roc_auc", "selected"]
_COLUMNS = ["paradigm", "strategy", "seed", "round", "country", *_VALUES]


def learning_curves(history: pd.DataFrame) -> pd.DataFrame:
    """Average each round's validation scores over countries, weighted by validation episodes.

    Where every country stops at an epoch of its own (local training, fine-tuning), a country
    that has stopped counts on with the epoch whose weights it uses. Without that, the tail of
    the curve would show the few countries that trained longest. A country whose score is
    undefined in a round (no validation episodes; one class, for ROC-AUC) is left out of it.

    Args:
        history: one row a paradigm, strategy, seed, round and country.

    Returns:
        paradigm, strategy, seed, round, validation_log_loss, validation_roc_auc (NaN where no
        country has one), n_validation (episodes behind the loss), selected (the round whose
        weights are used, where it is the same for all countries).

    Raises:
        InputError: a column is missing or a country has two rows for one round.
    """
    missing = [name for name in _COLUMNS if name not in history.columns]
    if missing:
        raise InputError(f"history: column {missing[0]!r} is missing")
    keys = ["paradigm", "strategy", "seed"]
    twice = history.duplicated([*keys, "round", "country"])
    if twice.any():
        row = history[twice].iloc[0]
        raise InputError(
            f"history: {model_name(row['paradigm'], row['strategy'])}, seed {row['seed']}, round "
            f"{row['round']}: {row['country']} occurs more than once"
        )
    curves = []
    for _, rows in history.groupby(keys, sort=True):
        curve = _curve(rows)
        for position, name in enumerate(keys):
            curve.insert(position, name, rows[name].iloc[0])
        curves.append(curve)
    if not curves:
        raise InputError("history: there is no row; train at least one paradigm")
    return pd.concat(curves, ignore_index=True).astype({"paradigm": "str", "strategy": "str"})


def _curve(rows: pd.DataFrame) -> pd.DataFrame:
    table = rows.pivot(index="round", columns="country", values=_VALUES)
    rounds = table.index.to_numpy(dtype=np.int64)
    shape = (len(rounds), rows["country"].nunique())
    trained = table["n_validation"].notna().to_numpy()
    chosen = (table["selected"].astype("float64") == 1.0).to_numpy()
    # positions in `rounds`, one a country: its last round, and the one whose weights it uses
    last = len(rounds) - 1 - trained[::-1].argmax(axis=0)
    kept = np.where(chosen.any(axis=0), len(rounds) - 1 - chosen[::-1].argmax(axis=0), last)
    stopped = np.arange(len(rounds))[:, np.newaxis] > last
    sizes = np.nanmax(table["n_validation"].to_numpy(dtype=np.float64), axis=0)
    scores = {}
    behind = np.zeros(shape)
    for column in ("validation_roc_auc", "validation_loss"):
        values = table[column].to_numpy(dtype=np.float64)
        values = np.where(stopped, values[kept, np.arange(shape[1])], values)
        behind = np.where(np.isnan(values), 0.0, sizes)
        total = behind.sum(axis=1)
        summed = (np.nan_to_num(values) * behind).sum(axis=1)
        scores[column] = np.divide(summed, total, out=np.full(len(total), np.nan), where=total > 0)
    shared = bool(chosen.any(axis=0).all()) and len(set(kept)) == 1
    return pd.DataFrame(
        {
            "round": rounds,
            "validation_log_loss": scores["validation_loss"],
            "validation_roc_auc": scores["validation_roc_auc"],
            "n_validation": behind.sum(axis=1).astype(np.int64),
            "selected": (np.arange(len(rounds)) == kept[0]) & shared,
        }
    )
