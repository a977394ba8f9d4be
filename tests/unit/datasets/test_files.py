"""What a CSV table of the catalog gives back is what was saved."""

from __future__ import annotations

import tempfile
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kedro_project import PROJECT
from ms_pfl.datasets import CsvTable
from name_examples import NAMES

CATALOG = yaml.safe_load((PROJECT / "conf/base/catalog.yml").read_text(encoding="utf-8"))
CSV = {name: told for name, told in CATALOG.items() if str(told.get("filepath")).endswith(".csv")}


@pytest.mark.parametrize("name", CSV)
def test_every_csv_file_of_the_catalog_keeps_names(name: str) -> None:
    assert CSV[name]["type"] == "ms_pfl.datasets.CsvTable"


def test_no_table_of_the_catalog_is_text_of_another_kind() -> None:
    kinds = {told["type"] for told in CATALOG.values()}
    assert all(kind.startswith(("ms_pfl.datasets.", "MemoryDataset")) for kind in kinds)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["=1", "'=1", "-x;@y", "-5", *NAMES])
            | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r")),
            st.integers(-(2**62), 2**62),
            st.floats(allow_nan=True, allow_infinity=False),
            st.booleans(),
            st.dates(min_value=date(1900, 1, 1)).map(pd.Timestamp) | st.none(),
            st.integers(0, 2**62) | st.none(),
        ),
        min_size=1,
    )
)  # fmt: skip
def test_a_table_is_read_back_as_it_was(rows: list[tuple[object, ...]]) -> None:
    table = pd.DataFrame(rows, columns=["007", "n", "x", "NA", "day", "row"]).astype(
        {
            "007": "str",
            "n": "int64",
            "x": "float64",
            "NA": "bool",
            "day": "datetime64[us]",
            "row": "Int64",
        }
    )
    table = pd.concat([table, table[["007"]].set_axis(["=also"], axis=1)], axis=1)
    with tempfile.TemporaryDirectory() as folder:
        dataset = CsvTable(
            filepath=str(Path(folder) / "t.csv"),
            types={"n": "int", "x": "float", "NA": "bool", "day": "date", "row": "optional int"},
        )
        dataset.save(table)
        pd.testing.assert_frame_equal(dataset.load(), table)
        assert ",'=also" in (Path(folder) / "t.csv").read_text().partition("\n")[0]


def test_a_table_for_people_holds_no_formula(tmp_path: Path) -> None:
    dataset = CsvTable(filepath=str(tmp_path / "t.csv"), types={"x": "float"})
    dataset.save(pd.DataFrame({"site": ["=cmd|' /C calc'!A0", "-5", "Peru"], "x": [-0.5, 1, 2]}))
    assert (
        tmp_path / "t.csv"
    ).read_text() == "site,x\n'=cmd|' /C calc'!A0,-0.5\n-5,1.0\nPeru,2.0\n"


def test_a_table_without_rows_has_the_types_that_were_saved(tmp_path: Path) -> None:
    saved = pd.DataFrame({"name": [], "row": [], "when": []}).astype(
        {"name": "str", "row": "Int64", "when": "datetime64[us]"}
    )
    dataset = CsvTable(
        filepath=str(tmp_path / "empty.csv"), types={"row": "optional int", "when": "date"}
    )
    dataset.save(saved)
    pd.testing.assert_frame_equal(dataset.load(), saved, check_column_type=False)
