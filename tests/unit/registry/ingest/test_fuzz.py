"""Mangled tables: a report, or one clear line; never a traceback, never another label."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hypothesis_profiles import examples
from ingest_examples import TODAY, cohort_parameters
from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.errors import InputError
from ms_pfl.registry.ingest.report import IngestError
from ms_pfl.registry.ingest.tables import RegistryTables, ingest
from ms_pfl.registry.schemas import Patients, Relapses, Treatments, Visits
from registry_exports import PEOPLE, Rows, clean, labels

MODELS = {"patients": Patients, "visits": Visits, "relapses": Relapses, "treatments": Treatments}


def as_file(rows: Rows, separator: str = ",", end: str = "\n", quote: bool = False) -> str:
    text = io.StringIO()
    quoting = csv.QUOTE_ALL if quote else csv.QUOTE_MINIMAL
    csv.writer(text, delimiter=separator, lineterminator=end, quoting=quoting).writerows(rows)
    return text.getvalue()


def read(files: dict[str, bytes]) -> tuple[RegistryTables, pd.DataFrame]:
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / f"{name}.csv").write_bytes(data)
        return ingest(folder, today=TODAY)


@pytest.fixture(scope="module")
def truth() -> pd.Series:
    tables, report = read({name: as_file(rows).encode() for name, rows in clean().items()})
    assert report.empty
    found = labels(tables)
    assert set(found) == {0, 1}
    assert set(found.index.get_level_values(0)) == set(PEOPLE)
    return found


def of(found: pd.Series, people: set[str]) -> dict[Any, int]:
    return {key: label for key, label in found.items() if key[0] in people}


DIALECTS = st.tuples(
    st.sampled_from([",", ";", "\t"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.booleans(),
    st.sampled_from(["", "\ufeff"]),
)


def reordered(draw: st.DrawFn, rows: Rows) -> Rows:
    """The same table: rows and columns in another order, some rows twice, headers in any case."""
    columns = draw(st.permutations(range(len(rows[0]))))
    header = [rows[0][i] for i in columns]
    if draw(st.booleans()):
        header = [name.swapcase() for name in header]
    body = [[row[i] for i in columns] for row in rows[1:]]
    for _ in range(draw(st.integers(0, 3))):
        body.append(list(draw(st.sampled_from(body))))
        body.insert(
            draw(st.integers(0, len(body))), [" "] * draw(st.sampled_from([0, len(header)]))
        )
    np.random.default_rng(draw(st.integers(0, 2**16))).shuffle(order := list(range(len(body))))
    return [header, *(body[i] for i in order)]


@st.composite
def harmless(draw: st.DrawFn) -> dict[str, bytes]:
    """The clean registry as another export would write it."""
    files = {}
    for name, rows in clean().items():
        separator, end, quote, mark = draw(DIALECTS)
        rows = reordered(draw, rows)
        if separator != ",":
            rows = [[decimal_comma(cell) for cell in row] for row in rows]
        files[name] = (mark + as_file(rows, separator, end, quote)).encode()
    return files


def decimal_comma(cell: str) -> str:
    return cell.replace(".", ",") if cell.replace(".", "").isdigit() else cell


@settings(max_examples=examples(20), suppress_health_check=list(HealthCheck))
@given(files=harmless())
def test_another_export_of_the_same_registry_gives_the_same_labels(files, truth):
    tables, report = read(files)
    assert of(labels(tables), set(PEOPLE)) == of(truth, set(PEOPLE))
    assert set(report["rule"]) <= {"separator", "decimal_comma", "duplicate_row", "empty_row"}
    for name, model in MODELS.items():
        model.validate(getattr(tables, name))


CELLS = """ |NA|NaN|nan|null|inf|-inf|1e309|True|0.5|2,5|11|-1|2.0000001|２|2\u00a0|=1+1|"|a,b;c
03/04/2001|2001/04/03|2001-02-30|20010403|37000|0001-01-01|9999-12-31|2262-04-12|99999-01-01
2001-04-03T23:59Z|2001-04-03 10:30|1890-01-01|1965-01-01|2099-01-01|2001-04-03
P1|P2|p1|P9|P1 |Italy|F|placebo"""
JUNK = st.one_of(
    st.sampled_from([*CELLS.replace("\n", "|").split("|"), "", "a\nb", "x" * 10**5, "9" * 10**5]),
    st.text(max_size=12).filter(lambda text: "\0" not in text),
)


@st.composite
def harmful(draw: st.DrawFn) -> tuple[dict[str, bytes], set[str]]:
    """The registry with wrong cells, and the people whose rows none of that concerns."""
    tables = clean()
    touched: set[str] = set()
    for _ in range(draw(st.integers(1, 3))):
        rows = tables[draw(st.sampled_from(sorted(tables)))]
        row = rows[draw(st.integers(1, len(rows) - 1))]
        column = draw(st.integers(0, len(row) - 1))
        touched.add(row[0].strip())
        row[column] = draw(JUNK)
        touched.add(row[0].strip())
    files = {}
    for name, rows in tables.items():
        separator, end, quote, mark = draw(DIALECTS)
        files[name] = (mark + as_file(rows, separator, end, quote)).encode()
    return files, set(PEOPLE) - touched


def outcome(files: dict[str, bytes]) -> pd.Series | None:
    """The labels, or None where one clear line says why there are none."""
    try:
        tables, report = read(files)
    except InputError as refused:
        error = refused
    else:
        assert not (report["action"] == "stopped").any()
        for name, model in MODELS.items():
            model.validate(getattr(tables, name))
        try:
            return labels(tables)
        except InputError as refused:
            error = refused
    assert str(error).isprintable(), str(error)
    assert len(str(error)) < 600
    if isinstance(error, IngestError):
        assert (error.report["action"] == "stopped").any()
        assert error.report["value"].str.len().max() <= 60
    return None


@settings(max_examples=examples(60), suppress_health_check=list(HealthCheck))
@given(mangled=harmful())
def test_wrong_cells_stop_the_run_or_leave_everybody_else_as_they_were(mangled, truth):
    files, untouched = mangled
    found = outcome(files)
    if found is not None:
        assert of(found, untouched) == of(truth, untouched)


def people_at(data: bytes, first: int, last: int) -> set[str]:
    """Who is on the lines from a byte to another; everybody where one is the header."""
    start, end = data.rfind(b"\n", 0, max(first, 0)) + 1, data.find(b"\n", last)
    lines = data[start : end if end >= 0 else len(data)].decode(errors="replace")
    return set(PEOPLE) if start == 0 else {person for person in PEOPLE if person in lines}


@st.composite
def broken_files(draw: st.DrawFn) -> tuple[dict[str, bytes], set[str]]:
    """The registry with bytes cut out and put in, and the people on no such line."""
    files = {name: as_file(rows).encode() for name, rows in clean().items()}
    touched: set[str] = set()
    for _ in range(draw(st.integers(1, 2))):
        name = draw(st.sampled_from(sorted(files)))
        data = files[name]
        at = draw(st.integers(0, len(data)))
        cut = draw(st.integers(0, 40))
        junk = draw(st.one_of(st.binary(max_size=5), st.sampled_from(SPLICES)))
        if draw(st.integers(0, 9)) == 0:
            at, cut = 0, len(data)
        files[name] = data[:at] + junk + data[at + cut :]
        touched |= people_at(data, at - 1, at + cut + 1)
        touched |= people_at(files[name], at - 1, at + len(junk) + 1)
    return files, set(PEOPLE) - touched


SPLICES = [b'"', b'"', b'"', b"\0", b"\xff\xfe", b"\n\n", b"\r", b";;;", b",,,,", b"x" * 10**5]


@settings(max_examples=examples(60), suppress_health_check=list(HealthCheck))
@given(broken=broken_files())
def test_broken_files_are_refused_or_leave_everybody_else_as_they_were(broken, truth):
    files, untouched = broken
    found = outcome(files)
    if found is not None:
        assert of(found, untouched) == of(truth, untouched)


TYPED: dict[str, Callable[[pd.Series], Any]] = {
    "whole numbers": lambda cells: range(len(cells)),
    "numbers": lambda cells: [1e300, np.nan, -np.inf, *[1.5] * len(cells)][: len(cells)],
    "truths": lambda cells: [True] * len(cells),
    "nothing": lambda cells: [None] * len(cells),
    "days": lambda cells: [date(2001, 1, 1)] * len(cells),
    "times": lambda cells: pd.date_range("2001-01-01", periods=len(cells), freq="h", tz="UTC"),
    "spans": lambda cells: pd.to_timedelta(range(len(cells)), unit="D"),
    "decimals": lambda cells: [Decimal("2.5")] * len(cells),
    "categories": lambda cells: cells.astype("category"),
    "bytes": lambda cells: [b"\xff\x00"] * len(cells),
    "lists": lambda cells: [[1, 2]] * len(cells),
}


TRIED = {"visits": ("PATIENT_ID", "DATE_OF_VISIT", "EDSS"), "patients": ("gender",),
         "treatments": ("dmt", "END_DATE")}  # fmt: skip


@pytest.mark.parametrize("kind", TYPED)
def test_parquet_columns_of_any_type_are_refused_in_one_line_or_read(kind, tmp_path):
    tables = {name: pd.DataFrame(rows[1:], columns=rows[0]) for name, rows in clean().items()}
    for name, table in tables.items():
        table.to_parquet(tmp_path / f"{name}.parquet")
    lines: list[str] = []
    for name, columns in TRIED.items():
        table = tables[name]
        for column in columns:
            table.assign(**{column: TYPED[kind](table[column])}).to_parquet(
                tmp_path / f"{name}.parquet"
            )
            try:
                read_tables, _ = ingest(tmp_path, today=TODAY)
            except IngestError as refused:
                lines.append(str(refused))
            else:
                MODELS[name].validate(getattr(read_tables, name))
        table.to_parquet(tmp_path / f"{name}.parquet")
    assert all(line.isprintable() and len(line) < 600 for line in lines)
    assert bool(lines) == (kind != "categories")


@pytest.mark.parametrize("start", range(1, 50, 7))
@pytest.mark.parametrize("length", [1, 2, 5])
def test_rows_between_two_lone_quotation_marks_are_never_lost(start, length, truth):
    rows = [[*row, "note"] for row in clean()["visits"]]
    rows[0][-1] = "severity"
    lines = as_file(rows).split("\n")
    lines[start] = lines[start].removesuffix("note") + '"note'
    lines[start + length] += '"'
    files = {name: as_file(table).encode() for name, table in clean().items()}
    files["visits"] = "\n".join(lines).encode()
    with pytest.raises(IngestError, match="a quoted cell that begins here holds whole rows"):
        read(files)


def test_golden_labels_come_out_of_files_in_another_dialect(shared_data):
    folder = shared_data("oracles")
    golden = pd.read_csv(folder / "golden_state2y_edge.csv", parse_dates=["t0"])
    visits = pd.read_csv(folder / "edge_visits.csv", dtype=str)
    visits = pd.concat([visits, visits.iloc[::3]]).sample(frac=1, random_state=3)
    visits["EDSS"] = visits["EDSS"].str.replace(".", ",")
    relapses = pd.read_csv(folder / "edge_relapses.csv", dtype=str)
    ids = sorted(set(visits["PATIENT_ID"]) | set(relapses["PATIENT_ID"]))
    tables = {
        "patients": pd.DataFrame({"PATIENT_ID": ids, "country": "Belgium"}),
        "visits": visits,
        "relapses": relapses,
        "treatments": pd.DataFrame(columns=["PATIENT_ID", "dmt", "START_DATE", "END_DATE"]),
    }
    read_tables, _ = read(
        {
            name: table.to_csv(index=False, sep=";", lineterminator="\r\n").encode("utf-8-sig")
            for name, table in tables.items()
        }
    )
    open_wide = cohort_parameters().model_copy(
        update={"minimum_registry_days": 0, "minimum_age_years": 0, "earliest_year": 1900}
    )
    episodes = build_episodes(read_tables, open_wide).episodes
    found = episodes.set_index(["patient_id", "t0"])["label"].to_dict()
    expected = golden[golden["label"].notna()].set_index(["PATIENT_ID", "t0"])["label"].to_dict()
    assert found == expected
