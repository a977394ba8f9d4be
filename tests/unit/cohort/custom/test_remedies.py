"""Every remedy for a custom table, obeyed to the letter, leads to the episodes that are meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ms_pfl.cohort.custom.table import own_episodes, read_file
from ms_pfl.cohort.parameters import OwnEpisodesParameters
from ms_pfl.errors import InputError

Settings = dict[str, Any]


def settings(**changed: Any) -> OwnEpisodesParameters:
    columns = {"site": "site", "label": "label"} | changed.pop("columns", {})
    given = {
        "columns": {"patient_id": None, "episode_id": None, "t0": None} | columns,
        "positive": None, "leave_out": (), "categorical": (), "missing_indicators": False,
        "outcome": None, "site_name": "site", "minimum_patients": 1,
    }  # fmt: skip
    return OwnEpisodesParameters.model_validate(given | changed)


def episodes(path: Path, **changed: Any) -> pd.DataFrame:
    return own_episodes(*read_file(path), settings(**changed))[0]


def table(name: str, *cells: str, separator: str = ",") -> str:
    """A feature column under a name, beside two sites and labels in turn."""
    rows = [["site", "label", name]]
    rows += [["AB"[i % 2], str(i // 2 % 2), cell] for i, cell in enumerate(cells)]
    return "".join(separator.join(row) + "\n" for row in rows)


@dataclass(frozen=True)
class Case:
    """A table that is refused, what the message advises, and what obeying gives.

    Attributes:
        bad: the file.
        said: the remedy, as it stands in the message.
        right: values of the first feature, or of the label where `column` is that.
        edits: text in the file, and what the user writes in its place.
        then: settings of ``own_episodes`` once the remedy is obeyed.
        before: settings with which the table is refused.
        column: of the episodes.
    """

    bad: str
    said: str
    right: list[float]
    edits: tuple[tuple[str, str], ...] = ()
    then: Settings = field(default_factory=dict)
    before: Settings = field(default_factory=dict)
    column: str = "x"


def asked(one: str, other: str, as_point: float, as_comma: float, separator: str) -> list[Case]:
    """Both readings of two cells that may be thousands or decimals."""
    cells = [one, one, other, other]
    cells = [f'"{cell}"' for cell in cells] if separator == "," else cells
    bad = table("x", *cells, separator=separator)
    said = (
        f"may be {as_point:.12g} or {as_comma:.12g}; set own_episodes.numbers: {{x: point}} where"
    )
    return [
        Case(bad, said, [as_point, as_point], then={"numbers": {"x": "point"}}),
        Case(bad, said, [as_comma, as_comma], then={"numbers": {"x": "comma"}}),
    ]


def labels(one: str, other: str, positive: Any, right: list[float]) -> Case:
    return Case(f"site,label,x\nA,{one},1\nB,{other},2\n",
                "set own_episodes.positive to the label of those who had the outcome", right,
                then={"positive": positive}, column="label")  # fmt: skip


CASES: dict[str, Case] = {
    **{
        f"thousands {separator}{number}": case
        for separator in (",", ";", "\t", "|")
        for number, case in enumerate(asked("91,316", "4,072", 91316, 91.316, separator))
    },
    **{
        f"points {number}": case
        for number, case in enumerate(asked("91.316", "4.072", 91.316, 91316, ";"))
    },
    **{
        f"points {number} with .000": case
        for number, case in enumerate(asked("91.000", "4.072", 91, 91000, ";"))
    },
    "decimal comma": Case(table("x", '"6,1"', '"4,8"', "3", ""), "own_episodes.numbers: {x: comma}",
                          [6.1, 4.8, 3, np.nan], then={"numbers": {"x": "comma"}}),
    "list of answers": Case(
        table("x", '"1,3"', '"1,2"', '"1,3"', '"1,2"'),
        "or name the column in own_episodes.categorical where it is none",
        [1, 0, 1, 0], then={"categorical": ("x",)}, column="x=1,3"),
    "name with a blank": Case(
        table("total cost", '"91,316"', '"91,316"', '"4,072"', '"4,072"'),
        'own_episodes.numbers: {"total cost": point}', [91316, 91316, 4072, 4072],
        then={"numbers": {"total cost": "point"}}, column="total cost"),
    "code": Case(table("x", "007", "012", "007", "012"),
                 "name the column in own_episodes.categorical if it is one", [1, 0, 1, 0],
                 then={"categorical": ("x",)}, column="x=007"),
    "padded number": Case(table("x", "05", "12", "07", "12"),
                          "or set own_episodes.numbers: {x: point} if it is 5", [5, 12, 7, 12],
                          then={"numbers": {"x": "point"}}),
    "code with an E": Case(table("x", "1E5", "2E3", "1E5", "2E3"),
                           "has an E and may be a code; name the column in", [1, 0, 1, 0],
                           then={"categorical": ("x",)}, column="x=1E5"),
    "capped age": Case(table("x", "70", "> 89", "> 89", "60"),
                       "write one number in its place in each such row (such as 89)",
                       [70, 90, 90, 60], (("> 89", "90"),)),
    "capped age with a plus": Case(table("x", "70", "90+", "90+", "60"), "(such as 90)",
                                   [70, 90, 90, 60], (("90+", "90"),)),
    "limit of detection": Case(table("x", "0.3", "<0.1", "<0.1", "2"), "(such as 0.1)",
                               [0.3, 0.1, 0.1, 2], (("<0.1", "0.1"),)),
    "groups": Case(table("x", "<65", ">=65", "<65", ">=65"),
                   "or name the column in own_episodes.categorical if its texts are categories",
                   [1, 0, 1, 0], then={"categorical": ("x",)}, column="x=<65"),
    "percent": Case(table("x", "12%", "5 %", "12%", "5 %"), "write the numbers without the sign",
                    [12, 5, 12, 5], (("%", ""),)),
    "some percent": Case(table("x", "12%", "0.05", "12%", "0.05"),
                         "beside numbers without the sign; write the numbers without the sign, all "
                         "on one scale", [0.12, 0.05, 0.12, 0.05], (("12%", "0.12"),)),
    "unit": Case(table("x", "5 mg", "10 mg", "5 mg", "10 mg"),
                 "has a unit; write the numbers alone, all in one unit", [5, 10, 5, 10],
                 ((" mg", ""),)),
    "two units": Case(table("x", "500 mg", "1 g", "500 mg", "1 g"), "all in one unit",
                      [500, 1000, 500, 1000], (("1 g", "1000"), (" mg", ""))),
    "unit beside numbers": Case(table("x", "5", "10mg", "5", "10mg"), "has a unit",
                                [5, 10, 5, 10], (("mg", ""),)),
    "capped age where the mark is named": Case(
        table("x", "70", "> 89", "> 89", "60"), "(such as 89)", [70, 90, 90, 60],
        (("> 89", "90"),), {"numbers": {"x": "point"}}, {"numbers": {"x": "point"}}),
    "letters beside numbers": Case(table("x", "5", "1A", "2B", "6"), "has a unit", [5, 1, 2, 6],
                                   (("1A", "1"), ("2B", "2"))),
    "a point and a comma": Case(table("x", "91.316", '"4,072"', "91.316", '"4,072"'),
                                "may be 91.316 or 91316; set own_episodes.numbers: {x: point}",
                                [91.316, 4072], then={"numbers": {"x": "point"}}),
    "minus behind": Case(table("x", "5-", "6,5-", "5-", "7", separator=";"),
                         "write it in front (-5)", [-5, 6, -5, 7],
                         (("6,5-", "6"), ("5-", "-5"))),
    "error of a spreadsheet": Case(table("x", "a", "#REF!", "b", "a"),
                                   "or write here what is meant", [1, 0, 0, 1],
                                   (("#REF!", "b"),), column="x=a"),
    "error in codes": Case(table("x", "1", "#NAME?", "2", "1"), "or write here what is meant",
                           [1, 0, 0, 1], (("#NAME?", "2"),), {"categorical": ("x",)},
                           {"categorical": ("x",)}, "x=1"),
    "error for a site": Case(table("x", "1", "2", "3", "4").replace("B,0", "####,0"),
                             "is an error of a spreadsheet and no name", [1, 2, 3, 4],
                             (("####", "B"),)),
    "rounded ids": Case("site,label,patient_id,x\nA,0,1.2E+11,7\nB,1,1.2E+11,8\n",
                        "export the ids again, as text", [7, 8],
                        (("0,1.2E+11", "0,123"), ("1,1.2E+11", "1,124")),
                        {"columns": {"patient_id": "patient_id"}}),
    "money": Case(table("x", "€5", "€10", "€5", "€10"), "has a unit", [5, 10, 5, 10],
                  (("€", ""),)),
    "a word for not known": Case(table("x", "5", "ND", "6", "ND"),
                                 "write a number or leave it empty", [5, np.nan, 6, np.nan],
                                 (("ND", ""),)),
    "codes beside numbers": Case(table("x", "5", "E11", "5", "E11"),
                                 "or name the column in own_episodes.categorical if it holds codes",
                                 [1, 0, 1, 0], then={"categorical": ("x",)}, column="x=5"),
    "labels 1 and 2": labels("1", "2", 2, [0, 1]),
    "labels 1 and 2, the other": labels("1", "2", "1", [1, 0]),
    "labels 1.0 and 2.0": labels("1.0", "2.0", "2.0", [0, 1]),
    "labels 0 and 2": labels("0", "2", 2, [0, 1]),
    "labels -1 and 1": labels("-1", "1", 1, [0, 1]),
    "labels yes and no": labels("no", "yes", "yes", [0, 1]),
    "labels Y and N": labels("Y", "N", "Y", [1, 0]),
    "labels 01 and 02": labels("01", "02", "02", [0, 1]),
    "labels of one meaning": Case(
        "site,label,x\nA,yes,1\nB,Y,2\nB,no,3\n", "column holds 'Y', 'no', 'yes': correct it",
        [1, 1, 0], (("Y,", "yes,"),), {"positive": "yes"}, column="label"),
    "positive beside its synonym": Case(
        "site,label,x\nA,yes,1\nB,Y,2\nB,no,3\n", "means the same as own_episodes.positive, 'yes'; "
        "write labels that mean the same in one way", [1, 1, 0], (("Y,", "yes,"),),
        {"positive": "yes"}, {"positive": "yes"}, column="label"),
    "positive without its zero": Case(
        "site,label,x\nA,01,1\nB,02,2\n", 'put "02" in quotes, as YAML drops leading zeros',
        [0, 1], then={"positive": "02"}, before={"positive": 2}, column="label"),
    "third label": Case("site,label,x\nA,1,1\nB,2,2\nB,9,3\n", "make the labels two values",
                        [0, 1], (("B,9,3\n", ""),), {"positive": 2}, {"positive": 2}, "label"),
    "no label": Case("site,label,x\nA,1,1\nB,0,2\nB,,3\n", "fill it in or remove the row",
                     [1, 2], (("B,,3\n", ""),)),
    "an index": Case(",site,label,x\n1,A,0,7\n2,B,1,8\n",
                     "name it in the header, and if it numbers the rows, also in "
                     "own_episodes.leave_out", [7, 8], ((",site", "row,site"),),
                     {"leave_out": ("row",)}),
    "row names of R": Case("site,label,x\n1,A,0,7\n2,B,1,8\n",
                           "write the file without (row.names = FALSE)", [7, 8],
                           (("1,A", "A"), ("2,B", "B"))),
    "no header": Case("A,0,7\nB,1,8\n", "put a line with the names of the columns above them",
                      [7, 8], (("A,0", "site,label,x\nA,0"),)),
    "episode ids that repeat": Case(
        "site,label,episode_id,x\nA,0,1,7\nB,1,1,8\n",
        "(own_episodes.columns.episode_id: null and own_episodes.leave_out: [episode_id])",
        [7, 8], then={"columns": {"episode_id": None}, "leave_out": ("episode_id",)}),
    "a row that repeats": Case(
        "site,label,episode_id,x\nA,0,1,7\nB,1,2,8\nB,1,2,8\n",
        "with the same cells; remove the row that repeats it", [7, 8], (("B,1,2,8\nB", "B"),)),
    "a date": Case(table("x", "2001-02-03", "2001-02-04", "", "") .replace("x", "day,x")
                   .replace("03\n", "03,1\n").replace("04\n", "04,2\n").replace(",\n", ",,3\n"),
                   "or name it in own_episodes.leave_out", [1, 2, 3, 3],
                   then={"leave_out": ("day",)}),
    "beside true and false": Case(table("x", "true", "3", "false", "1"), "write 0 or 1, or true",
                                  [1, 1, 0, 1], ((",3", ",true"),)),
    "not finite": Case(table("x", "1", "inf", "2", "3"), "correct it or leave it empty",
                       [1, np.nan, 2, 3], (("inf", ""),)),
    "a long name": Case(table("x", "1", "2", "2", "3").replace("B", "B" * 101), "shorten it",
                        [1, 2, 2, 3], (("B" * 101, "B"),)),
    "the name of an id": Case(
        table("t0", "1", "2", "2", "3").replace("t0", "x,t0").replace("\nA,", "\nA,")
        .replace(",1\n", ",1,5\n").replace(",2\n", ",2,5\n").replace(",3\n", ",3,5\n"),
        "write dates as YYYY-MM-DD", [1, 2, 2, 3], then={"leave_out": ("t0",)}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_remedy_leads_to_what_is_meant(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = tmp_path / "own.csv"
    path.write_text(case.bad)
    with pytest.raises(InputError) as caught:
        episodes(path, **case.before)
    assert case.said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    for old, new in case.edits:
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
    found = episodes(path, **case.then)[case.column].to_numpy()[: len(case.right)]
    np.testing.assert_allclose(found, case.right, rtol=1e-6)


@pytest.mark.parametrize(
    ("cells", "separator", "right"),
    [
        (["1,234.5", "2", "3", "4"], ";", [1234.5, 2, 3, 4]),
        (["1.234,5", "2", "3", "4"], ";", [1234.5, 2, 3, 4]),
        (["1.234.567", "1.000", "3", "4"], ";", [1234567, 1000, 3, 4]),
        (["91,316", "12,5", "3", "4"], ";", [91.316, 12.5, 3, 4]),
        (["0,316", "1,204", "3", "4"], ";", [0.316, 1.204, 3, 4]),
        (["91.316", "12.5", "3", "4"], ";", [91.316, 12.5, 3, 4]),
        (["91.316", "40.722", "3", "4"], ",", [91.316, 40.722, 3, 4]),
        (["1 234", "12 345 678", "5", "6.5"], ",", [1234, 12345678, 5, 6.5]),
        (["1'234", "1\u2019234.5", "5", "6"], ",", [1234, 1234.5, 5, 6]),
        (["1\u00a0234", "1\u202f234", "1\u2009234", "6"], ",", [1234, 1234, 1234, 6]),
        (["1e-05", "1e+05", "2.5E-3", "0"], ",", [1e-5, 1e5, 2.5e-3, 0]),
        (["\u22125", "-5", "+5", "0.5"], ",", [-5, -5, 5, 0.5]),
        (["0", "0.5", "-0.5", ".5"], ",", [0, 0.5, -0.5, 0.5]),
        (["#N/A", "0.5", "NA", "1"], ",", [np.nan, 0.5, np.nan, 1]),
    ],
)
def test_numbers_that_can_be_read_in_one_way_are_read(
    cells: list[str], separator: str, right: list[float], tmp_path: Path
) -> None:
    path = tmp_path / "own.csv"
    path.write_text(table("x", *cells, separator=separator), encoding="utf-8")
    np.testing.assert_allclose(episodes(path)["x"], right, rtol=1e-6)


@pytest.mark.parametrize(
    "cells",
    [
        ["18-64", "65+", "<18", "18-64"],
        ["1A", "2B", "1A", "2B"],
        ["3rd", "4th", "3rd", "4th"],
        ["120/80", "130/90", "120/80", "130/90"],
        ["G35", "E11.9", "G35", "E11.9"],
        ["1/2/3", "2/3", "1/2/3", "2/3"],
    ],
)
def test_texts_that_are_no_numbers_are_categories(cells: list[str], tmp_path: Path) -> None:
    path = tmp_path / "own.csv"
    path.write_text(table("x", *cells))
    found = episodes(path)
    assert [name for name in found if str(name).startswith("x=")] == [
        f"x={level}" for level in sorted(set(cells))
    ]


@pytest.mark.parametrize(
    ("file", "said", "obey"),
    [
        ("own.json", "own.json, which is no table that is read; save the table as own.csv",
         lambda folder: (folder / "own.csv").write_text((folder / "own.json").read_text())),
        ("own.xls", "own.xls, an old Excel workbook; save it as a workbook own.xlsx", None),
        ("own.csv.gz", "own.csv.gz, packed; unpack it and name the table in it own.csv",
         lambda folder: (folder / "own.csv").write_text((folder / "own.csv.gz").read_text())),
    ],
)  # fmt: skip
def test_files_of_other_formats_are_named_and_can_be_read(
    file: str, said: str, obey: Callable[[Path], object] | None, tmp_path: Path
) -> None:
    (tmp_path / file).write_text(table("x", "5", "6", "7", "8", separator="\t"))
    with pytest.raises(InputError) as caught:
        episodes(tmp_path / file)
    assert said in str(caught.value)
    if obey is not None:
        obey(tmp_path)
        assert episodes(tmp_path / "own.csv")["x"].tolist() == [5, 6, 7, 8]


def test_a_file_of_another_case_is_named(tmp_path: Path) -> None:
    (tmp_path / "Own.CSV").write_text(table("x", "5", "6", "7", "8"))
    with pytest.raises(InputError, match=r"the folder holds Own\.CSV: name that"):
        episodes(tmp_path / "own.csv")
    assert episodes(tmp_path / "Own.CSV")["x"].tolist() == [5, 6, 7, 8]


def test_the_cost_of_the_field_is_read_as_thousands(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("field_cases") / "own_thousands.csv"
    with pytest.raises(InputError, match=r"'91,316' may be 91316 or 91\.316; set own_episodes"):
        episodes(path)
    cost = episodes(path, numbers={"cost": "point"})["cost"]
    assert cost[:5].tolist() == [91316, 74040, 40722, 69104, 75274]
    assert episodes(path, numbers={"cost": "comma"})["cost"][0] == np.float32(91.316)
