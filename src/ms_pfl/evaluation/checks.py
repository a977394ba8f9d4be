"""Is a predictions table fit to be judged? Every paradigm on the same held-out patients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.paradigms import model_name

FIT = ["paradigm", "strategy", "seed"]
COLUMNS = [*FIT, "country", "patient_id", "episode_id", "split", "label", "probability"]
_SPLITS = ("validation", "test")


def check_predictions(predictions: pd.DataFrame, same_rows: bool = True) -> pd.DataFrame:
    """Return the test rows of a predictions table, checked and in one fixed order.

    Args:
        predictions: one row an episode, paradigm, strategy and seed (all fits below each
            other), with the columns ``COLUMNS``; ``label`` 0 or 1, ``probability`` in [0, 1].
        same_rows: insist that all fits of a seed were scored on the same patients, held out whole.
            Only a protocol that breaks with it on purpose may do without (``docs/audit.md``).

    Returns:
        The rows of the test split with ``label`` int8 and ``probability`` float64, sorted by
        paradigm, strategy, seed, country and episode.

    Raises:
        InputError: a column or a value is missing; a value is out of range; an episode occurs
            twice in a fit; a patient has both validation and test episodes; there is no test
            episode; or two fits of one seed were not scored on identical test rows. A comparison
            between models that saw different patients would say nothing.
    """
    missing = [name for name in COLUMNS if name not in predictions.columns]
    if missing:
        raise InputError(f"predictions: column {missing[0]!r} is missing; needed: {COLUMNS}")
    _check_values(predictions)
    if same_rows:
        _check_patients(predictions)
    test = predictions.loc[predictions["split"] == "test", COLUMNS]
    if test.empty:
        raise InputError("predictions: there is no test row; every fit must score the test split")
    test = test.assign(
        label=test["label"].astype("int8"), probability=test["probability"].astype("float64")
    )
    test = test.sort_values([*FIT, "country", "episode_id"], ignore_index=True)
    if same_rows:
        _check_identical_rows(test)
    return test


def _check_values(predictions: pd.DataFrame) -> None:
    for name in ("country", "patient_id", "episode_id", *FIT):
        absent = predictions[name].isna().to_numpy()
        if absent.any():
            row = predictions.iloc[int(np.flatnonzero(absent)[0])]
            raise InputError(
                f"predictions: {_where(row)}: {name} is missing ({int(absent.sum()):,} such rows); "
                f"give every row its {name}"
            )
    numeric = {
        name: pd.to_numeric(predictions[name], errors="coerce").to_numpy(dtype=np.float64)
        for name in ("label", "probability")
    }
    probability = numeric["probability"]
    wrong = {
        "split": (~predictions["split"].isin(_SPLITS).to_numpy(), "'validation' or 'test'"),
        "label": (~np.isin(numeric["label"], (0.0, 1.0)), "0 or 1"),
        # a NaN fails both comparisons
        "probability": (~((probability >= 0) & (probability <= 1)), "a number in [0, 1]"),
    }
    for column, (mask, allowed) in wrong.items():
        if mask.any():
            row = predictions.iloc[int(np.flatnonzero(mask)[0])]
            raise InputError(
                f"predictions: {_where(row)}: {column} is {row[column]}, must be {allowed} "
                f"({int(mask.sum()):,} such rows)"
            )
    twice = predictions.duplicated([*FIT, "episode_id"]).to_numpy()
    if twice.any():
        row = predictions.iloc[int(np.flatnonzero(twice)[0])]
        raise InputError(
            f"predictions: {_where(row)} occurs more than once in this fit "
            f"({int(twice.sum()):,} such rows); give every fit one row an episode"
        )


def _check_patients(predictions: pd.DataFrame) -> None:
    # by country too: hospitals number their patients alike
    splits = predictions[["seed", "country", "patient_id", "split"]].drop_duplicates()
    twice = splits.duplicated(["seed", "country", "patient_id"])
    if twice.any():
        row = splits[twice].iloc[0]
        raise InputError(
            f"predictions: patient {row['patient_id']!r} of {row['country']} has validation and "
            f"test episodes in seed {row['seed']}; split by patient"
        )


def _check_identical_rows(test: pd.DataFrame) -> None:
    fits = {
        (str(paradigm), str(strategy), int(seed)): rows
        for (paradigm, strategy, seed), rows in _positions(test).items()
    }
    seeds: dict[tuple[str, str], set[int]] = {}
    for paradigm, strategy, seed in fits:
        seeds.setdefault((paradigm, strategy), set()).add(seed)
    every_seed = set().union(*seeds.values())
    for (paradigm, strategy), own in seeds.items():
        if own != every_seed:
            raise InputError(
                f"predictions: {model_name(paradigm, strategy)} has no test rows for seed "
                f"{min(every_seed - own)}, other paradigms have; train all with the same seeds"
            )
    # Sorted rows: two fits hold the same rows exactly when these columns agree line by line.
    columns = ["country", "episode_id", "patient_id", "label"]
    codes = np.column_stack([pd.factorize(test[name])[0] for name in columns])
    reference: dict[int, tuple[str, NDArray[np.intp]]] = {}
    for (paradigm, strategy, seed), rows in fits.items():
        name = model_name(paradigm, strategy)
        known_name, known = reference.setdefault(seed, (name, rows))
        if len(known) == len(rows) and np.array_equal(codes[known], codes[rows]):
            continue
        one, other = test.loc[known, columns], test.loc[rows, columns]
        odd = pd.concat([one, other]).drop_duplicates(keep=False).iloc[0]
        raise InputError(
            f"predictions: {known_name} ({len(one):,} test rows) and {name} ({len(other):,}) were "
            f"not scored on the same test rows in seed {seed}: episode {odd['episode_id']!r} of "
            f"{odd['country']} differs; train all paradigms on the same episodes and splits"
        )


def _positions(test: pd.DataFrame) -> dict[Any, NDArray[np.intp]]:
    return {fit: np.asarray(rows) for fit, rows in test.groupby(FIT, sort=True).indices.items()}


def _where(row: pd.Series) -> str:
    fit = model_name(str(row["paradigm"]), str(row["strategy"]))
    return f"{fit}, seed {row['seed']}, episode {row['episode_id']!r}"
