"""A malformed predictions table is refused with words that say where."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from ms_pfl.errors import InputError
from ms_pfl.evaluation.scoring import check_predictions


def changed(
    table: pd.DataFrame, row: int, column: str, value: object, split: str = "test"
) -> pd.DataFrame:
    table = table.astype({column: "object"}) if column in ("label", "split") else table.copy()
    position = np.flatnonzero(table["split"] == split)[row]
    table.iloc[position, table.columns.get_loc(column)] = value
    return table


CASES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str]] = {
    "missing column": (lambda t: t.drop(columns="label"), "column 'label' is missing"),
    "above one": (
        lambda t: changed(t, 0, "probability", 1.2),
        r"Centralized, seed 0, episode .*: probability is 1.2, must be a number in \[0, 1\]",
    ),
    "not a number": (lambda t: changed(t, 5, "probability", np.nan), r"probability is nan"),
    "bad validation row": (
        lambda t: changed(t, 0, "probability", -0.1, "validation"),
        "probability is -0.1",
    ),
    "no country": (
        lambda t: changed(t, 0, "country", None),
        r"Centralized, seed 0, episode .*: country is missing \(1 such rows\)",
    ),
    # in every fit, so that the fits still agree with each other
    "no country anywhere": (
        lambda t: t.assign(country=t.country.mask(t.country == "Australia")),
        "country is missing",
    ),
    "no patient": (lambda t: t.assign(patient_id=None), "patient_id is missing"),
    "no episode": (lambda t: changed(t, 2, "episode_id", None), "episode_id is missing"),
    "label 2": (lambda t: changed(t, 0, "label", 2), "label is 2, must be 0 or 1"),
    "training row": (lambda t: changed(t, 0, "split", "train"), "split is train"),
    "twice": (lambda t: pd.concat([t, t.iloc[[3]]]), "occurs more than once in this fit"),
    "no test rows": (lambda t: t[t.split == "validation"], "no test row"),
    "a fit lacks a row": (
        lambda t: t.drop(index=t.index[(t.split == "test") & (t.paradigm == "local")][0]),
        r"Adaptive FedAvg \([\d,]+ test rows\) and Local \([\d,]+\) were not scored on the same "
        r"test rows in seed 0: episode 'Australia-.*' of Australia differs",
    ),
    "a fit has another label": (
        lambda t: t.assign(
            label=np.where((t.index == t.index[t.split == "test"][-1]), 1 - t.label, t.label)
        ),
        "not scored on the same test rows in seed 2",
    ),
    "a seed is missing": (
        lambda t: t[~((t.paradigm == "adaptive") & (t.seed == 1))],
        "Adaptive FedAvg has no test rows for seed 1",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_refused(predictions: pd.DataFrame, name: str) -> None:
    spoil, words = CASES[name]
    with pytest.raises(InputError, match=words) as error:
        check_predictions(spoil(predictions))
    assert "\n" not in str(error.value)


def test_a_patient_in_two_splits_is_refused(predictions: pd.DataFrame) -> None:
    # in every fit, so that the fits still agree with each other
    test = predictions[(predictions.split == "test") & (predictions.seed == 0)]
    several = test.groupby("patient_id")["episode_id"].nunique()
    patient = several[several > 1].index[0]
    episode = test.loc[test.patient_id == patient, "episode_id"].iloc[0]
    moved = predictions.assign(
        split=predictions["split"].mask(
            (predictions.episode_id == episode) & (predictions.seed == 0), "validation"
        )
    )
    with pytest.raises(InputError, match=f"patient '{patient}' of .* has validation and test"):
        check_predictions(moved)


def test_the_test_rows_come_back_sorted_and_whole(predictions: pd.DataFrame) -> None:
    test = check_predictions(predictions.sample(frac=1, random_state=1))
    assert len(test) == (predictions.split == "test").sum()
    assert test["label"].dtype == "int8"
    keys = ["paradigm", "strategy", "seed", "country", "episode_id"]
    pd.testing.assert_frame_equal(test, test.sort_values(keys, ignore_index=True))


def test_two_countries_may_number_their_patients_alike(predictions: pd.DataFrame) -> None:
    one = predictions["country"].unique()[:2]
    rows = predictions[predictions["country"].isin(one)]
    assert rows["patient_id"].nunique() > 1
    alike = rows.assign(patient_id=rows["split"].where(rows["country"] == one[0], "test"))
    # the first country has a patient called "test" in its test split, the second one in both
    with pytest.raises(InputError, match=f"of {one[1]} has validation"):
        check_predictions(alike)
    apart = rows.assign(
        patient_id=rows["split"].where(
            rows["country"] == one[0], rows["split"].map({"validation": "test", "test": "x"})
        )
    )
    assert len(check_predictions(apart)) == (rows["split"] == "test").sum()
