"""No text of a CSV file for people is a formula, and each is read back as it was."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ms_pfl.spreadsheets import as_text, from_text, neutralized, restored, write_csv

FORMULAS = [
    "=1+1", "+1+1", "-2+3+cmd|' /C calc'!A0", "@SUM(A1:A9)", "\t=1", "\r=1", "\n=1", " =1", '"=1',
    "'=1", "\u00a0=1", "\ufeff=1", '=HYPERLINK("http://a","b")', "\uff1d1", "-", "--1", "+x", "-1e",
    "-5 mg", "\tx", "=", "-0.5+A1",
]  # fmt: skip
PLAIN = [
    "", "a=b", "a-b", "(=1)", "1-2", "-0.5", "+0.012", "-1e-05", "-12 %", "+1,234.5",
    "+0.012 [-0.010, +0.030]", "-0.1 (-0.2 to 0.1)", "0.894 ± 0.021", "EDSS level +0.82; Sex -0.1",
    "Peru", "l'=x", "a@b", "x, -5",
]  # fmt: skip


@pytest.mark.parametrize("cell", FORMULAS)
def test_a_formula_is_made_a_text(cell: str) -> None:
    assert as_text(cell)[0] == "'"
    assert as_text(f"Peru;{cell}")[:6] == "Peru;'"


@pytest.mark.parametrize("cell", PLAIN)
def test_numbers_and_other_texts_stay(cell: str) -> None:
    assert as_text(cell) == cell


def evaluated(cell: str) -> bool:
    """Whether a program would take a cell, or a part of it that it takes for one, for a formula."""
    for part in re.split(r"[;\t\r\n]", cell):
        bare = part.lstrip(' "\u00a0\ufeff')
        if bare[:1] in tuple("=+-@") and not re.fullmatch(r"[+-]?[\d.,]+(e[+-]?\d+)? ?%?", part):
            return True
    return cell[:1] in ("\t", "\r")


pieces = st.sampled_from([*"=+-@'\"; \t\r\n,.5a", "\u00a0", "\ufeff", "-5", "=1"])
texts = st.lists(pieces, max_size=8).map("".join) | st.text(max_size=8)


@given(texts)
@example("''=1")
@example("'-5")
def test_every_text_comes_back_and_none_is_evaluated(text: str) -> None:
    written = as_text(text)
    assert from_text(written) == text
    assert not evaluated(written)


@given(st.lists(st.tuples(texts, texts, st.integers(), st.floats()), min_size=1, max_size=3), texts)
def test_a_table_comes_back_and_its_numbers_are_not_touched(
    rows: list[tuple[str, str, int, float]], name: str
) -> None:
    table = pd.DataFrame(rows, columns=[f"a{name}", f"{name}b", "n", "x"]).astype(
        {f"a{name}": "str", f"{name}b": "object"}
    )
    table["kind"] = pd.Categorical(table[f"a{name}"])
    table.loc[len(table)] = [None, None, 1, 0.5, None]
    for safe in (neutralized(table), neutralized(table.rename(columns={"n": "=n"}))):
        assert not any(evaluated(str(column)) for column in safe.columns)
        pd.testing.assert_series_equal(safe["x"], table["x"])
    back = restored(neutralized(table.drop(columns="kind")))
    pd.testing.assert_frame_equal(back, table.drop(columns="kind"))


def test_a_file_for_people_holds_no_formula(tmp_path: Path) -> None:
    # pandas writes a bare \r without quotation marks; no name that is read in has one
    cells = [cell for cell in FORMULAS if "\r" not in cell]
    table = pd.DataFrame({"country": cells, "=n": [-0.5] * len(cells), "x": -1})
    write_csv(table, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["country", "'=n", "x"]
    assert [row[1:] for row in rows] == [["-0.5", "-1"]] * len(cells)
    assert all(row[0].startswith("'") for row in rows)


def test_a_comma_file_opened_with_semicolons_holds_none_either() -> None:
    table = neutralized(pd.DataFrame({"site": ["Peru;=1+1;@x"]}))
    opened = list(csv.reader(io.StringIO(table.to_csv(index=False)), delimiter=";"))
    assert opened == [["site"], ["Peru", "'=1+1", "'@x"]]
