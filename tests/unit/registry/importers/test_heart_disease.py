"""The four hospitals of UCI Heart Disease: complete cases as in FLamby, and all rows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from ms_pfl.errors import InputError
from ms_pfl.registry.importers.heart_disease import read_hospitals

ROW = "63.0,1.0,1.0,145.0,233.0,1.0,2.0,150.0,0.0,2.3,3.0,0.0,6.0,0"
FILES = ("cleveland", "hungarian", "switzerland", "va")


def write(folder: Path, **rows: str) -> Path:
    for name in FILES:
        (folder / f"processed.{name}.data").write_text(rows.get(name, ROW) + "\n")
    return folder


def test_real_files_give_740_complete_cases_of_13_columns(
    shared_data: Callable[[str], Path],
) -> None:
    table, _ = read_hospitals(shared_data("heart_disease"), "complete")
    assert table.groupby("hospital").size().to_dict() == {
        "Cleveland": 303, "Hungary": 261, "Long Beach": 130, "Switzerland": 46,
    }  # fmt: skip
    assert table.groupby("hospital")["disease"].sum().to_dict() == {
        "Cleveland": 139, "Hungary": 98, "Long Beach": 101, "Switzerland": 45,
    }  # fmt: skip
    assert table.shape == (740, 3 + 13)
    assert not table.isna().to_numpy().any()


def test_real_files_give_920_rows_of_13_predictors(shared_data: Callable[[str], Path]) -> None:
    table, _ = read_hospitals(shared_data("heart_disease"), "all")
    assert table.groupby("hospital")["disease"].agg(["size", "sum"]).T.to_dict("list") == {
        "Cleveland": [303, 139], "Hungary": [294, 106], "Long Beach": [200, 149],
        "Switzerland": [123, 115],
    }  # fmt: skip
    # "?" as heart-disease.names has it, and a zero of chol (Switzerland 123, Long Beach 49) and of
    # trestbps (Long Beach 1) beside
    assert table.groupby("hospital")["chol"].apply(lambda x: x.isna().sum()).to_dict() == {
        "Cleveland": 0, "Hungary": 23, "Long Beach": 7 + 49, "Switzerland": 123,
    }  # fmt: skip
    assert table["trestbps"].isna().sum() == 1 + 2 + 56 + 1
    assert table[["slope", "ca", "thal"]].isna().sum().tolist() == [309, 611, 486]
    assert (table[["chol", "trestbps"]].min() > 0).all()
    assert table["thal"].value_counts().sum() == 920 - 486


def test_dummies_leave_out_the_first_level(tmp_path: Path) -> None:
    other = ROW.replace("63.0,1.0,1.0", "63.0,1.0,3.0").replace(",2.0,150", ",1.0,150")
    table = read_hospitals(write(tmp_path, va=other), "complete")[0].set_index("hospital")
    dummies = ["cp_2", "cp_3", "cp_4", "restecg_1", "restecg_2"]
    assert table.loc["Cleveland", dummies].tolist() == [0, 0, 0, 0, 1]
    assert table.loc["Long Beach", dummies].tolist() == [0, 1, 0, 1, 0]


def test_row_with_a_missing_predictor_is_left_out_but_slope_may_be_missing(tmp_path: Path) -> None:
    rows = ROW + "\n" + ROW.replace("145.0", "?") + "\n" + ROW.replace("3.0,0.0,6.0,0", "?,?,?,4")
    table, _ = read_hospitals(write(tmp_path, cleveland=rows), "complete")
    cleveland = table[table["hospital"] == "Cleveland"]
    assert cleveland["patient"].tolist() == ["Cleveland 001", "Cleveland 003"]
    assert cleveland["disease"].tolist() == [0, 1]


def test_all_rows_have_codes_in_words_and_no_impossible_zero(tmp_path: Path) -> None:
    rows = ROW + "\n" + ROW.replace("145.0,233.0", "0,0").replace("3.0,0.0,6.0,0", "?,?,?,4")
    table = read_hospitals(write(tmp_path, cleveland=rows), "all")[0].set_index("patient")
    assert table.loc["Cleveland 001"].to_dict() == {
        "hospital": "Cleveland", "disease": 0, "age": 63, "sex": 1, "cp": "typical angina",
        "trestbps": 145, "chol": 233, "fbs": 1, "restecg": "left ventricular hypertrophy",
        "thalach": 150, "exang": 0, "oldpeak": 2.3, "slope": "downsloping", "ca": 0,
        "thal": "fixed defect",
    }  # fmt: skip
    second = table.loc["Cleveland 002"]
    assert second.index[second.isna()].tolist() == ["trestbps", "chol", "slope", "ca", "thal"]
    assert second["disease"] == 1


def test_missing_file_and_wrong_value_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"processed\.cleveland\.data does not exist.*heart_folder"
    ):
        read_hospitals(tmp_path, "all")
    write(tmp_path, va=ROW + "\n" + ROW.replace("233.0", "high"))
    with pytest.raises(InputError, match=r"processed\.va\.data, row 2, column chol: 'high'"):
        read_hospitals(tmp_path, "all")
    write(tmp_path, va=ROW.replace("63.0,1.0,1.0", "63.0,1.0,5.0"))
    with pytest.raises(InputError, match=r"row 1, column cp: '5.0' is none of 1, 2, 3, 4"):
        read_hospitals(tmp_path, "complete")


def test_a_patient_has_the_same_name_in_both_tables(shared_data: Callable[[str], Path]) -> None:
    complete, _ = read_hospitals(shared_data("heart_disease"), "complete")
    every, _ = read_hospitals(shared_data("heart_disease"), "all")
    both = complete.merge(every, on="patient", how="left", suffixes=("", " of all"))
    assert len(both) == 740
    pd.testing.assert_series_equal(
        both["age"].astype("float64"), both["age of all"], check_names=False
    )
    assert (both["disease"] == both["disease of all"]).all()
