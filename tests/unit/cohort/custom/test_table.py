"""A custom table: columns, labels, features, and one line where it cannot be used."""

from __future__ import annotations

import hashlib
import logging
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from ms_pfl.cohort.custom.table import own_episodes, read_file
from ms_pfl.cohort.custom.vocabulary import Vocabulary, encode, feature_names
from ms_pfl.cohort.parameters import OwnEpisodesParameters
from ms_pfl.cohort.schemas import Episodes
from ms_pfl.errors import InputError
from ms_pfl.registry.ingest.refusals import Origin

CSV = """hospital,outcome,sex,age,smoker,grade
Ghent,worse,f,61,true,1
Ghent,stable,m,,false,2
Oslo,stable,,55.5,true,2
Oslo,worse,f,48,,3
"""


def parameters(**changed: Any) -> OwnEpisodesParameters:
    columns = {"site": "hospital", "label": "outcome", "patient_id": None, "episode_id": None,
               "t0": None} | changed.pop("columns", {})  # fmt: skip
    given = {
        "columns": columns, "positive": "worse", "leave_out": (), "categorical": (),
        "missing_indicators": False, "outcome": None, "site_name": "site", "minimum_patients": 1,
    } | changed  # fmt: skip
    return OwnEpisodesParameters.model_validate(given)


def read(text: str, folder: Path, **changed: Any) -> tuple[pd.DataFrame, Vocabulary]:
    path = folder / "own.csv"
    path.write_text(text)
    return own_episodes(*read_file(path), parameters(**changed))


def complaint(text: str, folder: Path, **changed: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(text, folder, **changed)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(str(folder / "own.csv"))
    return said.removeprefix(str(folder / "own.csv"))


def test_an_export_with_semicolons_and_decimal_commas_is_the_same_table(tmp_path: Path) -> None:
    expected, vocabulary = read(CSV, tmp_path)
    european = CSV.replace(",", ";").replace("55.5", "55,5")
    episodes, same = read("\ufeff" + european.replace("\n", "\r\n"), tmp_path)
    pd.testing.assert_frame_equal(episodes, expected)
    assert same == vocabulary


def test_a_table_of_texts_and_numbers_becomes_episodes(tmp_path: Path) -> None:
    episodes, vocabulary = read(CSV, tmp_path)
    nan = np.nan
    expected = pd.DataFrame(
        {
            "episode_id": ["Ghent 000001", "Ghent 000002", "Oslo 000001", "Oslo 000002"],
            "patient_id": ["Ghent 000001", "Ghent 000002", "Oslo 000001", "Oslo 000002"],
            "country": ["Ghent", "Ghent", "Oslo", "Oslo"],
            "label": np.array([1, 0, 0, 1], dtype="int8"),
            "sex=f": np.array([1, 0, nan, 1], dtype="float32"),
            "sex=m": np.array([0, 1, nan, 0], dtype="float32"),
            "age": np.array([61, nan, 55.5, 48], dtype="float32"),
            "smoker": np.array([1, 0, 1, nan], dtype="float32"),
            "grade": np.array([1, 2, 2, 3], dtype="float32"),
        }
    )
    pd.testing.assert_frame_equal(episodes, expected)
    pd.testing.assert_frame_equal(Episodes.validate(episodes), expected)
    assert vocabulary.levels == {"sex": ("f", "m")}


def test_every_setting_has_its_effect(tmp_path: Path) -> None:
    def features(**changed: Any) -> list[str]:
        return list(read(CSV, tmp_path, **changed)[0].columns)[4:]

    plain = ["sex=f", "sex=m", "age", "smoker", "grade"]
    assert features() == plain
    assert features(leave_out=("sex", "smoker")) == ["age", "grade"]
    assert features(categorical=("grade",)) == [*plain[:4], "grade=1", "grade=2", "grade=3"]
    assert features(missing_indicators=True) == [
        "sex=f", "sex=m", "sex missing", "age", "age missing", "smoker", "smoker missing", "grade",
    ]  # fmt: skip
    flipped = read(CSV, tmp_path, positive="stable")[0]
    assert flipped["label"].tolist() == [0, 1, 1, 0]


def test_ids_and_dates_are_taken_from_the_columns_that_are_named(tmp_path: Path) -> None:
    text = (
        "hospital,outcome,who,visit,day,age\n"
        "Ghent,worse,7,v1,2001-02-03,61\nGhent,stable,7,v2,,62\nOslo,stable,7,v3,2001-02-04,50\n"
    )
    columns = {"patient_id": "who", "episode_id": "visit", "t0": "day"}
    episodes, _ = read(text, tmp_path, columns=columns)
    assert episodes["patient_id"].tolist() == ["7", "7", "7"]
    assert episodes["episode_id"].tolist() == ["v1", "v2", "v3"]
    assert episodes["t0"].tolist() == [
        pd.Timestamp("2001-02-03"), pd.NaT, pd.Timestamp("2001-02-04"),
    ]  # fmt: skip
    assert list(episodes.columns)[5:] == ["age"]


def test_columns_with_the_names_of_the_contract_need_no_map(tmp_path: Path) -> None:
    text = "country,label,patient_id,episode_id,t0,age\nA,0,p,e1,2001-01-01,5\nB,1,q,e2,,6\n"
    columns = {"site": "country", "label": "label"}
    episodes, vocabulary = read(text, tmp_path, columns=columns, positive=None)
    assert episodes["episode_id"].tolist() == ["e1", "e2"]
    assert episodes["patient_id"].tolist() == ["p", "q"]
    assert vocabulary.columns == ("age",)


def test_ids_that_are_made_hang_on_the_rows_of_the_site_alone(tmp_path: Path) -> None:
    lines = CSV.splitlines(keepends=True)
    whole = read(CSV, tmp_path)[0]
    other = read("".join([lines[0], lines[3], lines[1], lines[4], lines[2]]), tmp_path)[0]
    alone = read("".join([lines[0], *lines[3:]]), tmp_path)[0]
    ids = whole.loc[whole["country"] == "Oslo", "episode_id"].tolist()
    assert alone["episode_id"].tolist() == ids
    assert other.loc[other["country"] == "Oslo", "episode_id"].tolist() == ids


@pytest.mark.parametrize(
    ("labels", "positive", "expected"),
    [
        (["0", "1"], None, [0, 1]),
        (["1.0", "0.0"], None, [1, 0]),
        (["true", "FALSE"], None, [1, 0]),
        (["no", "yes"], "yes", [0, 1]),
        (["1", "2"], 2, [0, 1]),
        ([" dead ", "alive"], "dead", [1, 0]),
    ],
)
def test_labels(tmp_path: Path, labels: list[str], positive: Any, expected: list[int]) -> None:
    text = "hospital,outcome,age\n" + "".join(f"A,{label},{i}\n" for i, label in enumerate(labels))
    assert read(text, tmp_path, positive=positive)[0]["label"].tolist() == expected


def test_typed_columns_of_parquet(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "hospital": pd.Categorical(["Ghent", "Oslo", "Oslo"]),
            "outcome": [True, False, True],
            "ward": pd.Categorical(["b", None, "a"]),
            "grade": pd.array([1, None, 2], dtype="Int64"),
            "smoker": pd.array([True, False, None], dtype="boolean"),
            "score": [1.5, np.nan, 2.0],
        },
        index=pd.Index([7, 8, 9]),
    )
    path = tmp_path / "own.parquet"
    frame.to_parquet(path)
    own = parameters(positive=None, categorical=("grade",))
    episodes, vocabulary = own_episodes(*read_file(path), own)
    assert vocabulary.levels == {"grade": ("1", "2"), "ward": ("a", "b")}
    assert episodes["label"].tolist() == [1, 0, 1]
    np.testing.assert_array_equal(episodes["smoker"], [1, 0, np.nan])
    np.testing.assert_array_equal(episodes["grade=2"], [0, np.nan, 1])
    np.testing.assert_array_equal(episodes["score"], [1.5, np.nan, 2])


def test_the_index_of_a_parquet_file_holds_columns_or_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.parquet"
    frame = pd.DataFrame({"hospital": ["A", "B"], "outcome": ["worse", "stable"], "age": [5, 6]})
    frame.set_index(["hospital", "outcome"]).to_parquet(path)
    episodes, vocabulary = own_episodes(*read_file(path), parameters())
    assert episodes["country"].tolist() == ["A", "B"]
    assert vocabulary.columns == ("age",)
    frame.set_index("age", drop=False).to_parquet(path)
    with pytest.raises(InputError, match=r"own\.parquet has an index and a column named age; keep"):
        read_file(path)


HEAD = "hospital,outcome,sex,age\n"
TWO = HEAD + "Ghent,worse,f,61\nOslo,stable,m,48\n"


@pytest.mark.parametrize(
    ("text", "changed", "said"),
    [
        (TWO, {"columns": {"site": "hospitl"}}, " has no column hospitl, but hospital; "
         "set own_episodes.columns.site to a column of the table"),
        (TWO, {"leave_out": ("weight",)}, " has no column weight, but hospital, outcome, sex, "
         "age; set own_episodes.leave_out to a column of the table"),
        (TWO, {"categorical": ("outcome",)}, ", column outcome: it is mapped in "
         "own_episodes.columns and cannot be in leave_out, categorical or numbers too; take it out "
         "of one of them"),
        (TWO, {"categorical": ("sex",), "leave_out": ("sex",)}, ", column sex: it is both in "
         "own_episodes.leave_out and in own_episodes.categorical; take it out of one of them"),
        (TWO, {"columns": {"label": "hospital"}}, ", column hospital: it cannot be the label and "
         "site at once; correct own_episodes.columns"),
        (TWO, {"positive": None}, ", line 2, column outcome: 'worse' is neither 0 nor 1; set "
         "own_episodes.positive to the label of those who had the outcome: \"worse\" (then "
         "'stable' counts as 0) or \"stable\" (then 'worse' counts as 0) (and 1 more like it)"),
        (TWO, {"positive": "bad"}, ", column outcome: no row holds 'bad', which "
         "own_episodes.positive names; the column holds 'stable', 'worse': name one of them"),
        (TWO + "Oslo,better,m,4\n", {}, ", line 4, column outcome: 'better' is a third label "
         "beside 'worse' and 'stable'; make the labels two values"),
        (TWO + "Oslo,,m,4\n", {}, ", line 4, column outcome: the value is empty; fill it in or "
         "remove the row"),
        (TWO.replace("stable", "worse"), {}, ", column outcome: every row holds 'worse'; both "
         "outcomes are needed to learn from"),
        (TWO + ",worse,m,4\n", {}, ", line 4, column hospital: the value is empty; fill it in or "
         "remove the row"),
        (TWO + "\nOslo,worse,m,old\n", {}, ", line 5, column age: 'old' is no number, as other "
         "rows of the column are; write a number or leave it empty, or name the column in "
         "own_episodes.categorical if it holds codes"),
        (HEAD + 'Ghent,worse,f,"6,1"\nOslo,stable,m,"4,8"\n', {}, ", line 2, column age: '6,1' "
         "has a decimal comma; set own_episodes.numbers: {age: comma} where it is 6.1, or name the "
         "column in own_episodes.categorical where it is none (and 1 more like it)"),
        (HEAD + "Ghent,worse,f,2001-02-03\nOslo,stable,m,\n", {}, ", line 2, column age: "
         "'2001-02-03' is a date; turn the column into a number, such as an age in years, or name "
         "it in own_episodes.leave_out"),
        (HEAD + "Ghent,worse,f,3.2.2001\nOslo,stable,m,\n", {}, ", line 2, column age: "
         "'3.2.2001' is a date; turn the column into a number, such as an age in years, or name "
         "it in own_episodes.leave_out"),
        *(
            (HEAD + f"Ghent,worse,f,{day}\nOslo,stable,m,\n", {}, f", line 2, column age: {day!r} "
             "is a date; turn the column into a number, such as an age in years, or name it in "
             "own_episodes.leave_out")
            for day in ("2001/02/03", "2001.2.3", "2001-2-3", "3-4-2001", "03/04/2001",
                        "3/4/2001 10:15")
        ),
        (HEAD + "Ghent,worse,f,5\nOslo,stable,m,'6,1'\nOslo,stable,m,old\n".replace("'", '"'), {},
         ", line 3, column age: '6,1' is no number, as other rows of the column are; write a "
         "number or leave it empty, or name the column in own_episodes.categorical if it holds "
         "codes (and 1 more like it)"),
        (HEAD + "Ghent,worse,f,true\nOslo,stable,m,3\nOslo,stable,m,false\nOslo,worse,m,1\n", {},
         ", line 3, column age: '3' stands beside true and false; write 0 or 1, or true or false, "
         "or leave it empty"),
        (TWO.replace("stable", "Worse"), {}, ", line 3, column outcome: 'Worse' differs from "
         "own_episodes.positive, 'worse', in capitals alone; write labels that mean the same in "
         "one way"),
        (",hospital,outcome,age\n0,A,worse,5\n1,B,stable,6\n", {}, ", column 1 has values and no "
         "name; name it in the header, and if it numbers the rows, also in own_episodes.leave_out"),
        (TWO.replace("age", "a" * 101), {}, f", column 4 has a name of 101 characters, {'a' * 40}"
         "...; shorten it to at most 100"),
        (TWO.replace("stable,m", "stable," + "m" * 101), {}, f", line 3, column sex: '{'m' * 56}..."
         " has more than 100 characters; name it in own_episodes.leave_out, or shorten its "
         "values"),
        (TWO.replace("Oslo", "O" * 101), {}, f", line 3, column hospital: '{'O' * 56}... has more "
         "than 100 characters; shorten it"),
        (TWO + "Oslo,worse,m,inf\n", {}, ", line 4, column age: 'inf' is not finite; correct it "
         "or leave it empty"),
        (TWO, {"columns": {"episode_id": "sex"}, "leave_out": ("age",)}, " has no feature beside "
         "hospital, outcome, sex, age; add what to predict from, a column each"),
        (TWO + "Oslo,worse,m,4\n", {"columns": {"episode_id": "sex"}}, ", line 4, column sex: 'm' "
         "stands in an earlier row already; two rows are two episodes: give each an id of its own, "
         "or have them numbered (own_episodes.columns.episode_id: null and "
         "own_episodes.leave_out: [sex])"),
        (HEAD, {}, " holds no row; at least one episode is needed"),
        (TWO.replace("age", "sex=f"), {}, ": two features would be called 'sex=f'; rename the "
         "column of that name"),
        (TWO.replace("age", "label"), {}, ", column label: the name has a meaning of its own here; "
         "map it in own_episodes.columns, rename it, or name it in own_episodes.leave_out"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_told_in_one_line(
    tmp_path: Path, text: str, changed: dict[str, Any], said: str
) -> None:
    assert complaint(text, tmp_path, **changed) == said


def many(cells: list[str]) -> str:
    rows = (f"A,{'worse' if i % 2 else 'stable'},{cell},{i % 3}\n" for i, cell in enumerate(cells))
    return HEAD + "".join(rows)


def test_an_identifier_is_no_category(tmp_path: Path) -> None:
    said = complaint(many([f"id{i:02}" for i in range(51)]), tmp_path)
    assert said == (
        ", column sex: 51 different texts in 51 rows, such as 'id00'; an identifier? name it in "
        "own_episodes.leave_out, or group its values (at most 50)"
    )
    every = many([f"id{i:02}" for i in range(20)])
    assert "20 different texts in 20 rows" in complaint(every, tmp_path)
    # where somebody says so it is one; a small table may have it by chance; 50 levels may repeat
    assert len(read(every, tmp_path, categorical=("sex",))[1].levels["sex"]) == 20
    assert len(read(many([f"id{i:02}" for i in range(19)]), tmp_path)[1].levels["sex"]) == 19
    assert len(read(many([f"id{i % 50}" for i in range(60)]), tmp_path)[1].levels["sex"]) == 50
    said = complaint(many([f"id{i:02}" for i in range(51)]), tmp_path, categorical=("sex",))
    assert "51 different texts" in said


def test_what_can_teach_nothing_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, logger="ms_pfl"):
        read(many(["f", "F"] * 10), tmp_path)
        read(many(["f", "f"]), tmp_path)
        read(many([""] * 3), tmp_path)
        read(many([str(1000 + i) for i in range(20)]), tmp_path)
    said = [
        record.getMessage().removeprefix(str(tmp_path / "own.csv")) for record in caplog.records
    ]
    leave_out = "name it in own_episodes.leave_out"
    assert said == [
        ", column sex: 'F' and 'f' are two levels; write them in one way if they mean the same",
        f", column sex: 'f' in all rows, so that nothing can be learned from it; {leave_out}",
        f", column sex: no value in any row, so that nothing can be learned from it; {leave_out}",
        f", column sex: another whole number in each row; if it is an identifier, {leave_out}",
    ]


def test_sites_that_may_be_none_or_one_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = HEAD + "".join(
        f"{site},{label},f,{age}\n"
        for site, label, age in [
            ("B", "worse", 5), ("b", "stable", 6), ("NA", "worse", 7), ("Unknown", "worse", 8),
            ("NA", "stable", 9),
        ]
    )  # fmt: skip
    with caplog.at_level(logging.WARNING, logger="ms_pfl"):
        episodes, _ = read(text, tmp_path, leave_out=("sex",))
    assert episodes["country"].tolist() == ["B", "b", "NA", "Unknown", "NA"]
    said = [
        record.getMessage().removeprefix(str(tmp_path / "own.csv")) for record in caplog.records
    ]
    name_it = "is taken for a site; name the site, or remove the rows if it is not known"
    assert said == [
        ", column hospital: 'B' and 'b' are two sites; write them in one way if they mean the same",
        f", column hospital: 'NA' in 2 rows {name_it}",
        f", column hospital: 'Unknown' in 1 rows {name_it}",
    ]


def test_empty_columns_without_a_name_are_none(tmp_path: Path) -> None:
    expected, _ = read(TWO, tmp_path)
    trailing = "".join(f"{line},,\n" for line in TWO.splitlines())
    pd.testing.assert_frame_equal(read(trailing, tmp_path)[0], expected)


def test_names_of_a_hundred_characters_are_taken(tmp_path: Path) -> None:
    text = TWO.replace("age", "a" * 100).replace("Oslo", "O" * 100)
    episodes, _ = read(text, tmp_path)
    assert episodes["country"].tolist() == ["Ghent", "O" * 100]
    assert episodes.columns[-1] == "a" * 100


def test_flags_may_stand_beside_0_and_1(tmp_path: Path) -> None:
    rows = "".join(
        f"A,{'worse' if cell == '1' else 'stable'},f,{cell}\n"
        for cell in ("true", "1", "", "FALSE", "0.0")
    )
    episodes, _ = read(HEAD + rows, tmp_path)
    np.testing.assert_array_equal(episodes["age"], [1, 1, np.nan, 0, 0])


def test_a_file_that_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.csv does not exist"):
        read_file(tmp_path / "absent.csv")
    (tmp_path / "own.xlsx").write_text("x")
    with pytest.raises(InputError, match=r"own\.xlsx is no readable workbook"):
        read_file(tmp_path / "own.xlsx")
    (tmp_path / "own.xls").write_text("x")
    with pytest.raises(InputError, match=r"own\.xls, an old Excel workbook; save it as"):
        read_file(tmp_path / "own.xls")
    (tmp_path / "own.parquet").write_text("x")
    with pytest.raises(InputError, match=r"own\.parquet is no readable parquet file"):
        read_file(tmp_path / "own.parquet")


def test_the_file_is_only_read(tmp_path: Path) -> None:
    read(CSV, tmp_path)
    path = tmp_path / "own.csv"
    before = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns
    own_episodes(*read_file(path), parameters())
    assert (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns) == before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"positive": True}, "put a name in quotes"),
        ({"positiv": "x"}, "Extra inputs are not permitted"),
        ({"columns": {"sites": "x"}}, "Extra inputs are not permitted"),
        ({"site_name": ""}, "at least 1 character"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        parameters(**changed)


words = ["", "NA", "0", "1", "2.0", "true", "no", "yes", "inf", "1,5", "a", "2001-01-01"]
cells = st.one_of(
    st.sampled_from(words), st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
)
columns = st.one_of(
    st.just(st.sampled_from(["", "1", "2.5", "-3"])),
    st.just(st.sampled_from(["", "a", "b", "true"])),
    st.just(cells),
)


@st.composite
def own_tables(draw: st.DrawFn, sites: Any, labels: Any, features: Any) -> pd.DataFrame:
    n = draw(st.integers(2, 8))
    kinds = {"hospital": sites, "outcome": labels, "sex": draw(features), "age": draw(features)}
    drawn = {name: draw(st.lists(kind, min_size=n, max_size=n)) for name, kind in kinds.items()}
    return pd.DataFrame(drawn, dtype="str")


def check_episodes(episodes: pd.DataFrame, vocabulary: Vocabulary) -> None:
    pd.testing.assert_frame_equal(Episodes.validate(episodes), episodes)
    assert set(episodes["label"]) == {0, 1}
    features = list(episodes.columns)[4:]
    assert features == feature_names(vocabulary)


@given(own_tables(cells, cells, columns), st.sampled_from(["yes", None]), st.booleans())
def test_any_table_is_episodes_or_one_line(
    table: pd.DataFrame, positive: str | None, missing_indicators: bool
) -> None:
    own = parameters(positive=positive, missing_indicators=missing_indicators)
    said = ""
    try:
        check_episodes(*own_episodes(table, Origin("own.csv", "line", 2), own))
    except InputError as error:
        said = str(error)
    assert "\n" not in said
    assert said.startswith("own.csv") or not said


@given(
    own_tables(st.sampled_from("AB1"), st.sampled_from(["yes", "no"]), columns),
    st.booleans(),
)
def test_a_table_of_numbers_and_texts_is_episodes_whatever_its_categories_are(
    table: pd.DataFrame, missing_indicators: bool
) -> None:
    assume(table["outcome"].nunique() == 2)
    own = parameters(
        positive="yes", missing_indicators=missing_indicators, categorical=("sex", "age")
    )
    episodes, vocabulary = own_episodes(table, Origin("own.csv", "line", 2), own)
    check_episodes(episodes, vocabulary)
    assert len(episodes) == len(table)
    assert episodes["country"].tolist() == table["hospital"].tolist()
    assert episodes["label"].tolist() == table["outcome"].eq("yes").astype(int).tolist()


def test_two_forms_of_a_name_are_one_site_column_patient_and_level(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = "Türkiye Ort,outcome,wer,wärd\n" + "".join(
        f"Ağrı,{label},P é,ü {i}\n" for i, label in enumerate(["worse", "stable"] * 2)
    )
    odd = unicodedata.normalize("NFD", plain).replace("P e", "P\u00a0 e").replace("ü ", "ü\u200b ")
    rows = [plain.splitlines()[i] if i in (0, 1) else line
            for i, line in enumerate(odd.splitlines())]  # fmt: skip
    columns = {"site": "Türkiye\u00a0Ort", "patient_id": "wer"}
    expected, vocabulary = read(plain, tmp_path, columns=columns)
    caplog.clear()
    with caplog.at_level(logging.INFO):
        for text in (odd, "\n".join(rows) + "\n"):
            episodes, same = read(text, tmp_path, columns=columns)
            pd.testing.assert_frame_equal(episodes, expected)
            assert same == vocabulary
            frame = pd.read_csv(tmp_path / "own.csv", dtype="str")
            frame.to_parquet(tmp_path / "own.parquet")
            table, origin = read_file(tmp_path / "own.parquet")
            again, _ = own_episodes(table, origin, parameters(columns=columns))
            pd.testing.assert_frame_equal(again, expected)
    assert caplog.messages[0] == (
        f"{tmp_path / 'own.csv'}: cells read in the normal form of their text, by column: "
        "Türkiye Ort (4), wer (4), wärd (4)"
    )


def test_sites_and_levels_that_look_alike_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = "hospital,outcome,ward\nTürkiye,worse,Côte d’Or\nTurkiye,stable,Cote d'Or\n"
    read(text, tmp_path)
    said = [record.getMessage().partition(": ")[2] for record in caplog.records]
    assert said == [
        "'Turkiye' and 'Türkiye' are two sites; write them in one way if they mean the same",
        "\"Cote d'Or\" and 'Côte d’Or' are two levels; write them in one way if they mean the same",
    ]


WARDS = pd.DataFrame(
    {
        "hospital": ["A", "B"] * 15,
        "outcome": ["worse", "stable", "stable"] * 10,
        "who": [f"p{i // 2}" for i in range(30)],
        "ward": ["medicine"] * 12 + ["surgery"] * 6 + ["Surgery"] * 2 + ["a rare disease"] * 10,
        "age": [str(40 + i % 7) for i in range(30)],
    },
    dtype="str",
)


def encoded(table: pd.DataFrame, **changed: Any) -> tuple[pd.DataFrame, Vocabulary]:
    own = parameters(**{"columns": {"patient_id": "who"}} | changed)
    return own_episodes(table, Origin("own.csv", "line", 2), own)


def test_levels_of_few_patients_become_other_and_are_named_nowhere(
    caplog: pytest.LogCaptureFixture,
) -> None:
    # a patient of one name at two sites is two patients: each row is one here
    assert encoded(WARDS, minimum_patients=10)[1].levels == {"ward": ("a rare disease", "medicine")}
    # ten visits of two patients do not make a level common
    few = WARDS.assign(who=[*WARDS["who"][:20], *["p10"] * 10])
    caplog.clear()
    episodes, vocabulary = encoded(few, minimum_patients=10)
    assert vocabulary.levels == {"ward": ("medicine", "other")}
    assert list(episodes.columns)[4:] == ["ward=medicine", "ward=other", "age"]
    assert episodes["ward=other"].tolist() == [0.0] * 12 + [1.0] * 18
    written = vocabulary.model_dump_json() + caplog.text + " ".join(episodes.columns)
    assert "rare" not in written
    assert "urgery" not in written
    assert caplog.messages == [
        "column ward: 3 of 4 levels have fewer than 10 patients and count as 'other' "
        "(own_episodes.minimum_patients)"
    ]


def test_other_is_no_level_where_it_would_be_of_few_patients_itself() -> None:
    episodes, vocabulary = encoded(WARDS, minimum_patients=11)
    assert vocabulary.levels == {"ward": ("medicine", "other")}
    assert episodes["ward=other"].sum() == 18
    episodes, vocabulary = encoded(WARDS.assign(ward=["m"] * 21 + ["n"] * 9), minimum_patients=10)
    assert vocabulary.levels == {"ward": ("m",)}
    assert episodes["ward=m"].tolist() == [1.0] * 21 + [0.0] * 9
    with pytest.raises(InputError, match=r"own\.csv leaves no feature: .* has 31 patients; group"):
        encoded(WARDS.drop(columns="age"), minimum_patients=31)


def test_a_level_that_is_called_other_holds_the_rest_too() -> None:
    wards = ["other"] * 12 + ["x"] * 3 + ["y"] * 15
    episodes, vocabulary = encoded(WARDS.assign(ward=wards), minimum_patients=10)
    assert vocabulary.levels == {"ward": ("other", "y")}
    assert episodes["ward=other"].tolist() == [1.0] * 15 + [0.0] * 15
    # of a new patient, what nobody had is other too
    new = encode(pd.DataFrame({"ward": ["z", None, "y"], "age": [1.0] * 3}), vocabulary)
    np.testing.assert_array_equal(new["ward=other"], [1, np.nan, 0])


def test_no_message_names_a_level_of_few_patients(caplog: pytest.LogCaptureFixture) -> None:
    secret = [f"case {i:02}" for i in range(60)]
    table = pd.DataFrame(
        {"hospital": ["A", "B"] * 30, "outcome": ["worse", "stable"] * 30, "dx": secret,
         "one": ["same"] * 60, "age": [str(i % 5) for i in range(60)]}
    )  # fmt: skip
    with pytest.raises(InputError) as caught:
        encoded(table, columns={"patient_id": None}, minimum_patients=10)
    assert "60 different texts in 60 rows; an identifier?" in str(caught.value)
    long = table.assign(dx=["a" * 101, *["b"] * 59])
    with pytest.raises(InputError, match="line 2, column dx: the value has more than 100 char"):
        encoded(long, columns={"patient_id": None}, minimum_patients=10)
    assert "case" not in caplog.text


@given(
    st.lists(st.tuples(st.sampled_from("AB"), st.sampled_from("pqrst"), st.sampled_from("uvwxyz")),
             min_size=2, max_size=40),
    st.integers(1, 6),
)  # fmt: skip
def test_whatever_is_named_has_the_patients(rows: list[tuple[str, str, str]], least: int) -> None:
    site, who, ward = zip(*rows, strict=True)
    table = pd.DataFrame({"hospital": site, "outcome": ["worse", *["stable"] * (len(rows) - 1)],
                          "who": who, "ward": ward, "age": ["1"] * len(rows)})  # fmt: skip
    episodes, vocabulary = encoded(table, minimum_patients=least)
    people = {level: {(s, w) for s, w, x in rows if x == level} for level in set(ward)}
    named = set(vocabulary.levels["ward"]) - {"other"}
    assert named == {level for level, of in people.items() if len(of) >= least}
    rest = set().union(*(of for level, of in people.items() if level not in named))
    assert ("other" in vocabulary.levels["ward"]) == (len(rest) >= least)
    # what is kept is one row of a hot column at most, and new rows are encoded as these are
    hot = episodes[feature_names(vocabulary)].drop(columns="age")
    assert (hot.sum(axis=1) <= 1).all()
    again = encode(table[["ward"]].assign(age=np.float32(1)), vocabulary)
    pd.testing.assert_frame_equal(again[hot.columns], hot)
