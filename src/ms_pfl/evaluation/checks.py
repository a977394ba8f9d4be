"""Is a predictions table fit to be judged? Every paradigm on the same held-out patients."""

from __future__ import annotations

import pandas as pd

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
        _refuse(
            predictions,
            predictions[name].isna(),
            f": {name} is missing",
            f"; give every row its {name}",
        )
    label, probability = (
        pd.to_numeric(predictions[name], errors="coerce").astype("float64")
        for name in ("label", "probability")
    )
    # what is missing is in none of these
    wrong = {
        "split": (~predictions["split"].isin(_SPLITS), "'validation' or 'test'"),
        "label": (~label.isin((0.0, 1.0)), "0 or 1"),
        "probability": (~probability.between(0, 1), "a number in [0, 1]"),
    }
    for name, (rows, allowed) in wrong.items():
        _refuse(predictions, rows, f": {name} is {{{name}}}, must be {allowed}")
    _refuse(
        predictions,
        predictions.duplicated([*FIT, "episode_id"]),
        " occurs more than once in this fit",
        "; give every fit one row an episode",
    )


def _refuse(predictions: pd.DataFrame, rows: pd.Series, problem: str, remedy: str = "") -> None:
    """Raise where there are such rows; ``{column}`` in ``problem`` stands for the first's value."""
    if rows.any():
        first = predictions[rows.to_numpy()].iloc[0]
        problem = problem.format_map(first)
        raise InputError(
            f"predictions: {_where(first)}{problem} ({int(rows.sum()):,} such rows){remedy}"
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
    columns = ["country", "episode_id", "patient_id", "label"]
    fits = {
        (model_name(*map(str, fit[:2])), int(str(fit[2]))): rows[columns].reset_index(drop=True)
        for fit, rows in test.groupby(FIT, sort=True)
    }
    every_seed = {seed for _, seed in fits}
    for name, _ in fits:
        missing = every_seed - {seed for other, seed in fits if other == name}
        if missing:
            raise InputError(
                f"predictions: {name} has no test rows for seed {min(missing)}, other paradigms "
                "have; train all with the same seeds"
            )
    reference: dict[int, tuple[str, pd.DataFrame]] = {}
    for (name, seed), rows in fits.items():
        known_name, known = reference.setdefault(seed, (name, rows))
        if rows.equals(known):  # both are sorted
            continue
        odd = pd.concat([known, rows]).drop_duplicates(keep=False).iloc[0]
        raise InputError(
            f"predictions: {known_name} ({len(known):,} test rows) and {name} ({len(rows):,}) were "
            f"not scored on the same test rows in seed {seed}: episode {odd['episode_id']!r} of "
            f"{odd['country']} differs; train all paradigms on the same episodes and splits"
        )


def _where(row: pd.Series) -> str:
    fit = model_name(str(row["paradigm"]), str(row["strategy"]))
    return f"{fit}, seed {row['seed']}, episode {row['episode_id']!r}"
