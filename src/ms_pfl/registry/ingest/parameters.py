"""Typed parameters of ingestion: how somebody's own files name, spell and store what they hold."""

import codecs
import datetime
import zoneinfo
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from ms_pfl.config import Section
from ms_pfl.input_files import FileLimits
from ms_pfl.names import folded
from ms_pfl.registry.contract import COLUMNS, CONTRACT, EDSS_SCALE, FLAG_CODES, Column
from ms_pfl.registry.ingest.date_formats import names_a_day
from ms_pfl.yaml_text import NAMED_KEYS, Name, YamlText, written_text

TableName = Literal["patients", "visits", "relapses", "treatments"]
PatientIds = Literal["as_written", "as_numbers", "by_country", "by_clinic"]
#: A site's own text -> what it means; None: it is missing, or not read.
Spellings = Annotated[dict[Name, YamlText | None], NAMED_KEYS]
#: What a proposal of settings holds where only the site knows the value.
YOURS = "(yours: "


def no_blank(given: Any) -> Any:
    """Return a setting, and refuse one that a proposal has left to its reader."""
    if isinstance(given, str) and given.startswith(YOURS):
        raise ValueError("is still to be filled in")
    if isinstance(given, Mapping):
        for one in [*given, *given.values()]:
            no_blank(one)
    return given


def known_encoding(name: Any) -> str:
    """Return the name of an encoding of text that Python knows, e.g. ``cp1252``."""
    text = str(written_text(name)).strip()
    try:
        if not codecs.lookup(text)._is_text_encoding:
            raise LookupError
        "".encode(text)
    except (LookupError, UnicodeError):
        raise ValueError(
            f"{text!r} is no encoding of text; use utf-8, utf-16, cp1252 (Windows in Western "
            "Europe), cp1250 (Central Europe), cp1251 (Cyrillic), cp1253 (Greek), cp1254 "
            "(Turkish), cp1256 (Arabic), mac_roman, or another one that Python knows"
        ) from None
    return text


def _encodings(given: Any) -> Any:
    """One name of an encoding, or one for each table."""
    if isinstance(given, Mapping):
        _check_tables(given)
        return {str(table): known_encoding(name) for table, name in given.items()}
    return None if given is None else known_encoding(given)


def _date_formats(given: Any) -> Any:
    """One format, one for each table, or in a table one for each column."""
    if not isinstance(given, Mapping):
        return None if given is None else names_a_day(str(written_text(given)))
    _check_tables(given)
    formats: dict[str, Any] = {}
    for table, of_table in given.items():
        if not isinstance(of_table, Mapping):
            formats[str(table)] = names_a_day(str(written_text(of_table)))
            continue
        dates = [column.name for column in CONTRACT[table] if column.kind == "date"]
        for name in of_table:
            if name not in dates:
                raise ValueError(f"{table}: {name!r} is none of its dates {', '.join(dates)}")
        formats[str(table)] = {
            str(name): names_a_day(str(written_text(one))) for name, one in of_table.items()
        }
    return formats


def _zone(given: Any) -> Any:
    if given is None:
        return None
    try:
        zoneinfo.ZoneInfo(str(written_text(given)))
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise ValueError(
            f"{given!r} is no time zone; name a place of the tz database, such as Europe/Paris"
        ) from None
    return str(given)


def _check_tables(given: Mapping[Any, Any]) -> None:
    for table in given:
        if table not in CONTRACT:
            raise ValueError(f"{table!r} is none of {', '.join(CONTRACT)}")


def _empty_tables(given: Any) -> Any:
    if isinstance(given, Mapping):
        return {table: {} if inner is None else inner for table, inner in given.items()}
    return given


class DayFrom(Section):
    """A day that a file names by another one."""

    date: YamlText = Field(description="column of the file with a date")
    days: YamlText = Field(description="column of the file with the days from it to the day meant")


class FileSpellings(Section):
    """How files are named, stored and spelled; empty: as the ingest contract has it."""

    files: dict[TableName, Annotated[str, BeforeValidator(written_text)] | None] = Field(
        default={},
        description="by table: name of its file in the folder, or a pattern such as 'clinical-*'; "
        "without it, the name of the table with any ending that is read; null: there is no such "
        "table (relapses, treatments)",
    )
    sheets: dict[TableName, YamlText] = Field(
        default={},
        description="by table: sheet of a workbook; without it the only one, or that of the "
        "table's name",
    )
    encoding: Annotated[Any, AfterValidator(_encodings)] = Field(
        default=None,
        description="of text files without a byte order mark, or by table; null: UTF-8",
    )
    columns: dict[TableName, Spellings] = Field(
        default={},
        description="by table: name of a column in the file -> its name in the contract; null: "
        "the column is not read",
    )
    days_from: dict[TableName, dict[Name, DayFrom]] = Field(
        default={},
        description="by table: date of the contract -> the columns of the file that hold a date "
        "and the days from it",
    )
    values: dict[TableName, dict[Name, Spellings]] = Field(
        default={},
        description="by table and column of the contract: text in the file -> code, number, day "
        "(YYYY-MM-DD) or name; null: missing",
    )
    missing: tuple[YamlText, ...] = Field(
        default=(), description="words that stand for a missing value in every column"
    )
    treatments: Annotated[dict[Name, YamlText], NAMED_KEYS] = Field(
        default={},
        description="text of treatments.dmt -> a drug name of cohort.treatments",
    )
    date_format: Annotated[Any, AfterValidator(_date_formats)] = Field(
        default=None,
        description="strptime format of dates written as text, e.g. %d/%m/%Y: of all, by table, or "
        "by table and column; null: YYYY-MM-DD",
    )

    @field_validator("*", mode="before")
    @classmethod
    def _filled_in(cls, given: Any) -> Any:
        return no_blank(given)

    _one_name_a_column: ClassVar[bool] = True

    @field_validator("columns", "values", "days_from", mode="before")
    @classmethod
    def _no_table_is_empty(cls, given: Any) -> Any:
        return _empty_tables(given)

    @model_validator(mode="after")
    def _maps_lead_into_the_contract(self) -> Self:
        for table in self.files:
            if self.files[table] is None and table not in ("relapses", "treatments"):
                raise ValueError(f"files.{table}: null is for relapses and treatments alone")
        for table, names in self.columns.items():
            _check_column_names(table, names, once=self._one_name_a_column)
        for table, days in self.days_from.items():
            dates = [column.name for column in CONTRACT[table] if column.kind == "date"]
            for name in days:
                if name not in dates:
                    raise ValueError(
                        f"days_from.{table}: {name!r} is none of its dates {', '.join(dates)}"
                    )
        for table, by_column in self.values.items():
            columns = {column.name: column for column in CONTRACT[table]}
            mapped = [name for name in columns if name not in ("PATIENT_ID", "dmt")]
            for name, codes in by_column.items():
                if name not in mapped:
                    raise ValueError(f"values.{table}: {name!r} is none of {', '.join(mapped)}")
                _no_spelling_twice(codes, f"values.{table}.{name}")
                for text, target in codes.items():
                    if expected := _unbelieved(columns[name], target):
                        raise ValueError(
                            f"values.{table}.{name}: {text!r} leads to {target!r}; use {expected}"
                        )
        _no_spelling_twice(self.treatments, "treatments")
        _no_spelling_twice(self.missing, "missing")
        return self


def _check_column_names(table: str, names: Mapping[str, str | None], *, once: bool) -> None:
    known = [column.name for column in COLUMNS[table]]
    _no_spelling_twice(names, f"columns.{table}")
    targets = [target for target in names.values() if target is not None]
    for source, target in names.items():
        if target is not None and target not in known:
            raise ValueError(
                f"columns.{table}: {source!r} leads to {target!r}, and {table} has only "
                f"{', '.join(known)}"
            )
        if once and target is not None and targets.count(target) > 1:
            raise ValueError(f"columns.{table}: two names lead to {target}; keep one")


def _unbelieved(column: Column, target: str | None) -> str:
    """Return what a map may lead to in place of a target that it may not; "" where it may."""
    if target is None:
        return "" if not column.required else "a day" if column.kind == "date" else "a name"
    if column.kind in ("code", "flag"):
        allowed = FLAG_CODES if column.kind == "flag" else column.canonical
        return "" if target in allowed else ", ".join(allowed)
    if column.kind == "date":
        try:
            datetime.date.fromisoformat(target)
        except ValueError:
            return "a day as YYYY-MM-DD, or null"
        return ""
    if column.kind == "text":
        return "" if target.strip() else "a name"
    try:
        number = float(target)
    except ValueError:
        return "a number in quotes, or null"
    if column.kind == "edss":
        return "" if number in EDSS_SCALE else "a score of the EDSS in quotes, or null"
    believed = column.low <= number <= column.high
    return "" if believed else f"a number of {column.low:g} to {column.high:g}, or null"


class IngestProfile(FileSpellings):
    """The spellings of a kind of export; what a file lacks of them does no harm."""

    _one_name_a_column: ClassVar[bool] = False  # versions of an export differ

    name: str = Field(description="of the profile: its file in ingest_profiles")
    description: str = Field(
        default="", description="which export it is, and from where it is known"
    )


def _profile(given: Any) -> Any:
    if isinstance(given, str):
        raise ValueError(
            "a profile is read from ingest_profiles in conf/base or conf/local, which only a "
            "project does; from Python, see ms_pfl.registry.ingest.profiles.read_profile"
        )
    return given


class IngestParameters(FileSpellings):
    """How your own tables are stored and spelled; empty: as the ingest contract has it."""

    profile: Annotated[IngestProfile | None, BeforeValidator(_profile)] = Field(
        default=None,
        description="name of a file of ingest_profiles: the spellings of a known export, beside "
        "which your own count first",
    )
    constants: Annotated[dict[Name, YamlText], NAMED_KEYS] = Field(
        default={},
        description="column of the contract that the files lack -> its value in every row",
    )
    partial_dates: Literal["middle"] | None = Field(
        default=None,
        description="middle: dates of birth, onset and diagnosis of which the year (and month) "
        "alone is known are 1 July of the year (day 15 of the month); null: they are refused",
    )
    time_zone: Annotated[Any, AfterValidator(_zone)] = Field(
        default=None,
        description="in which the day of times in UTC, or with an offset, is taken; null: the day "
        "that is written, and times in UTC are refused",
    )
    undated: Literal["drop"] | None = Field(
        default=None,
        description="drop: relapses and treatments without a date are left out; null: refused",
    )
    value_labels: bool = Field(
        default=False,
        description="read the labels of values in SPSS, Stata and SAS files, not the values",
    )
    decimal_comma: bool = Field(
        default=False,
        description="text such as 2,5 is 2.5 also in files separated by commas, and in workbooks",
    )
    patient_ids: PatientIds = Field(
        default="as_written",
        description="as_written: an id names one patient; as_numbers: so it does, but leading "
        "zeros and .0 do not count; by_country, by_clinic: it does within a country or clinic_code",
    )
    limits: FileLimits = Field(
        default=FileLimits(), description="of each file, which is refused before it is read"
    )

    def file_pattern(self, table: str) -> str | None:
        """Name or pattern of a table's file; None: the name of the table."""
        return self._own_or_profile("files", table)

    def has_no_table(self, table: str) -> bool:
        """Whether it is set that there is no file of a table."""
        named = [one.files for one in self._sources() if table in one.files]
        return bool(named) and next(
            value is None for key, value in named[0].items() if key == table
        )

    def days_from_of(self, table: str) -> dict[str, DayFrom]:
        """Dates of a table that are days from another one, by their name in the contract."""
        found: dict[str, DayFrom] = {}
        for one in reversed(self._sources()):
            found |= next((days for key, days in one.days_from.items() if key == table), {})
        return found

    def sheet(self, table: str) -> str | None:
        """Sheet of a workbook that holds a table; None: it is to be found."""
        return self._own_or_profile("sheets", table)

    def encoding_of(self, table: str) -> str | None:
        """Return the encoding of a table's text file without a byte order mark; None: UTF-8."""
        for one in self._sources():
            named = one.encoding.get(table) if isinstance(one.encoding, dict) else one.encoding
            if named is not None:
                return str(named)
        return None

    def date_format_of(self, table: str, column: str) -> str | None:
        """Format of a column's dates written as text; None: YYYY-MM-DD."""
        for one in self._sources():
            named = one.date_format
            named = named.get(table) if isinstance(named, dict) else named
            named = named.get(column) if isinstance(named, dict) else named
            if named is not None:
                return str(named)
        return None

    def column_names(self, table: str) -> dict[str, str | None]:
        """Names of a table's columns in the file -> names of the contract, from the site itself."""
        return next((names for key, names in self.columns.items() if key == table), {})

    def profile_names(self, table: str) -> dict[str, str | None]:
        """Names that the profile adds to :meth:`column_names`; a file may lack them."""
        if self.profile is None:
            return {}
        own = self.column_names(table)
        spelled, led_to = {folded(name) for name in own}, {*own.values()} - {None}
        return {
            source: target
            for key, names in self.profile.columns.items()
            if key == table
            for source, target in names.items()
            if folded(source) not in spelled and target not in led_to
        }

    def codes(self, table: str, column: str) -> dict[str, str | None]:
        """Texts in a column of a table -> codes, numbers, days, countries or drug names.

        A country has one set of spellings, in whichever table it stands.
        """
        of_profile = {} if self.profile is None else _codes(self.profile, table, column)
        own = self.own_codes(table, column)
        spelled = {folded(text) for text in own}
        return {t: code for t, code in of_profile.items() if folded(t) not in spelled} | own

    def own_codes(self, table: str, column: str) -> dict[str, str | None]:
        """Return the part of :meth:`codes` that is the site's own."""
        return _codes(self, table, column)

    def missing_words(self) -> tuple[str, ...]:
        """Words that stand for a missing value in every column."""
        return tuple(dict.fromkeys(word for one in self._sources() for word in one.missing))

    def constants_of(self, table: str) -> dict[str, str]:
        """Columns of a table that have one value in every row; a country is the patients'."""
        names = [column.name for column in CONTRACT[table]]
        return {name: value for name, value in self.constants.items() if name in names}

    def _sources(self) -> tuple[FileSpellings, ...]:
        return (self,) if self.profile is None else (self, self.profile)

    def _own_or_profile(self, field: str, table: str) -> str | None:
        found = (getattr(one, field).get(table) for one in self._sources())
        return next((str(one) for one in found if one is not None), None)

    @model_validator(mode="after")
    def _constants_are_believed(self) -> Self:
        columns = {column.name: column for table in CONTRACT.values() for column in table}
        del columns["PATIENT_ID"]
        for name, value in self.constants.items():
            if name not in columns:
                raise ValueError(f"constants: {name!r} is none of {', '.join(columns)}")
            if expected := _unbelieved(columns[name], value):
                raise ValueError(f"constants.{name}: {value!r}; use {expected}")
        return self


def _codes(one: FileSpellings, table: str, column: str) -> dict[str, str | None]:
    if column == "dmt":
        return dict(one.treatments)
    table = "patients" if column == "country" else table
    return next((by[column] for t, by in one.values.items() if t == table and column in by), {})


def _no_spelling_twice(spellings: Iterable[str], where: str) -> None:
    seen: dict[str, str] = {}
    for spelling in spellings:
        key = folded(spelling)
        # Columns may differ in case alone: a file can hold EDSS and edss.
        if not key or (key in seen and not where.startswith("columns")):
            other = f"is the same as {seen[key]!r}" if key else "is empty"
            raise ValueError(f"{where}: the spelling {spelling!r} {other}; keep one")
        seen[key] = spelling
