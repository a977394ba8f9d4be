"""Dates of which a part is known, times in a time zone, and columns of typed and written dates."""

from __future__ import annotations

import datetime

import pandas as pd
import pytest

from ms_pfl.errors import InputError
from ms_pfl.registry.contract import CONTRACT, Column
from ms_pfl.registry.ingest.columns import read_column
from ms_pfl.registry.ingest.dates import DateRules, middle_of
from ms_pfl.registry.ingest.refusals import Origin

BIRTH = next(column for column in CONTRACT["patients"] if column.name == "BIRTH_DATE")
VISIT = next(column for column in CONTRACT["visits"] if column.name == "DATE_OF_VISIT")
ORIGIN = Origin("x.csv", "line", 2, table="patients")


def days(column: Column, cells: list[object], dtype: str = "object", **rules: object) -> list[str]:
    raw = pd.Series(cells, dtype=dtype, name=column.name)
    read = read_column(raw, column, raw.index, ORIGIN, dates=DateRules(**rules))
    return read.dt.strftime("%Y-%m-%d").fillna("").tolist()


@pytest.mark.parametrize(
    ("text", "order", "middle"),
    [
        ("1982", "Ymd", "1982-07-01"), ("1982.0", "Ymd", "1982-07-01"),
        ("1982-05", "Ymd", "1982-05-15"), ("1982-00-00", "Ymd", "1982-07-01"),
        ("1982-05-00", "Ymd", "1982-05-15"), ("1982-??-??", "Ymd", "1982-07-01"),
        ("05/1982", "dmY", "1982-05-15"), ("??/??/1982", "dmY", "1982-07-01"),
        ("00/05/1982", "dmY", "1982-05-15"), ("05/UN/1982", "mdY", "1982-05-15"),
        ("12/?/1982", "dmY", "1982-07-01"), ("UNK-UNK-1982", "dmY", "1982-07-01"),
    ],
)  # fmt: skip
def test_the_middle_of_a_year_or_month(text, order, middle):
    assert middle_of(text, order) == datetime.date.fromisoformat(middle)


@pytest.mark.parametrize(
    "text",
    ["1982-05-06", "1982-13", "82", "ND", "", "1782", "05/06/1982", "1-2-3-1982", "?", "3000"],
)
def test_what_is_no_part_of_a_date(text):
    assert middle_of(text) is None
    assert middle_of(text, "dmY") is None


def test_a_partial_date_is_read_where_it_is_set_and_only_of_a_person():
    cells: list[object] = ["1982", "1982-05-06", "", "1990-03"]
    assert days(BIRTH, cells, partial=True) == ["1982-07-01", "1982-05-06", "", "1990-03-15"]
    with pytest.raises(InputError, match="where only the year or month is known, set ingest"):
        days(BIRTH, cells)
    with pytest.raises(InputError, match="'1982' is no date; write dates as YYYY-MM-DD"):
        days(VISIT, cells, partial=True)
    assert days(BIRTH, [1982, 1990], "int64", partial=True) == ["1982-07-01", "1990-07-01"]


def test_a_time_in_utc_is_a_day_of_its_time_zone():
    cells: list[object] = ["2000-12-31T23:00Z", "2001-07-01T21:30:00+00:00", "2001-07-01"]
    found = days(VISIT, cells, time_zone="Europe/Brussels")
    assert found == ["2001-01-01", "2001-07-01", "2001-07-01"]
    assert days(VISIT, cells, time_zone="America/New_York")[0] == "2000-12-31"
    with pytest.raises(InputError, match="'2000-12-31T23:00Z' is a time in a time zone"):
        days(VISIT, cells)


def test_a_time_with_an_offset_is_the_local_day_that_is_written():
    cells: list[object] = [
        "2015-10-14T00:00:00+01:00",
        "2015-10-14T23:30:00-0500",
        "2015-10-14T00:00Z",
    ]
    assert days(VISIT, cells) == ["2015-10-14"] * 3
    # in UTC the first is 13 October, 23:00
    assert days(VISIT, cells, time_zone="UTC") == ["2015-10-13", "2015-10-15", "2015-10-14"]


def test_typed_times_in_utc_are_days_of_their_time_zone():
    cells = pd.to_datetime(["2000-12-31T23:00Z"], utc=True)
    found = days(VISIT, list(cells), "datetime64[us, UTC]", time_zone="Europe/Brussels")
    assert found == ["2001-01-01"]


def test_typed_dates_need_no_format_and_the_texts_beside_them_do():
    cells: list[object] = [
        datetime.date(2001, 4, 3), datetime.datetime(2001, 4, 4, 10, 30), "05/04/2001", None, "",
    ]  # fmt: skip
    found = days(VISIT, [*cells[:3]], date_format="%d/%m/%Y")
    assert found == ["2001-04-03", "2001-04-04", "2001-04-05"]
    with pytest.raises(InputError, match="'05/04/2001' is no date"):
        days(VISIT, [*cells[:3]])
    assert days(BIRTH, cells, date_format="%d/%m/%Y")[3:] == ["", ""]
