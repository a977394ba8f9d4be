"""The four hospitals of UCI Heart Disease, encoded as in FLamby."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ms_pfl.errors import InputError
from ms_pfl.registry.heart_disease import read_episodes

ROW = "63.0,1.0,1.0,145.0,233.0,1.0,2.0,150.0,0.0,2.3,3.0,0.0,6.0,0"
FILES = ("cleveland", "hungarian", "switzerland", "va")


def write(folder: Path, **rows: str) -> Path:
    for name in FILES:
        (folder / f"processed.{name}.data").write_text(rows.get(name, ROW) + "\n")
    return folder


def test_real_files_give_740_complete_cases_of_13_columns(
    shared_data: Callable[[str], Path],
) -> None:
    episodes = read_episodes(shared_data("heart_disease"))
    assert episodes.groupby("country").size().to_dict() == {
        "Cleveland": 303, "Hungary": 261, "Long Beach": 130, "Switzerland": 46,
    }  # fmt: skip
    assert episodes.groupby("country")["label"].sum().to_dict() == {
        "Cleveland": 139, "Hungary": 98, "Long Beach": 101, "Switzerland": 45,
    }  # fmt: skip
    assert episodes.shape == (740, 4 + 13)
    assert not episodes.isna().to_numpy().any()


def test_dummies_leave_out_the_first_level(tmp_path: Path) -> None:
    other = ROW.replace("63.0,1.0,1.0", "63.0,1.0,3.0").replace(",2.0,150", ",1.0,150")
    episodes = read_episodes(write(tmp_path, va=other)).set_index("country")
    dummies = ["cp_2", "cp_3", "cp_4", "restecg_1", "restecg_2"]
    assert episodes.loc["Cleveland", dummies].tolist() == [0, 0, 0, 0, 1]
    assert episodes.loc["Long Beach", dummies].tolist() == [0, 1, 0, 1, 0]


def test_row_with_a_missing_predictor_is_left_out_but_slope_may_be_missing(tmp_path: Path) -> None:
    rows = ROW + "\n" + ROW.replace("145.0", "?") + "\n" + ROW.replace("3.0,0.0,6.0,0", "?,?,?,4")
    episodes = read_episodes(write(tmp_path, cleveland=rows))
    cleveland = episodes[episodes["country"] == "Cleveland"]
    assert cleveland["patient_id"].tolist() == ["Cleveland 001", "Cleveland 003"]
    assert cleveland["label"].tolist() == [0, 1]


def test_missing_file_and_wrong_value_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"processed\.cleveland\.data does not exist.*heart_folder"
    ):
        read_episodes(tmp_path)
    write(tmp_path, va=ROW + "\n" + ROW.replace("233.0", "high"))
    with pytest.raises(InputError, match=r"processed\.va\.data, row 2, column chol: 'high'"):
        read_episodes(tmp_path)
