"""Typed parameters of ingestion: how somebody's own tables spell columns, codes, drugs, dates."""

import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from ms_pfl.config import Section
from ms_pfl.input_files import FileLimits
from ms_pfl.names import folded
from ms_pfl.registry.contract import COLUMNS, CONTRACT, FLAG_CODES
from ms_pfl.yaml_text import NAMED_KEYS, Name, YamlText

TableName = Literal["patients", "visits", "relapses", "treatments"]
PatientIds = Literal["as_written", "as_numbers", "by_country", "by_clinic"]
#: A site's own text -> what it means; None: it is missing, or not read.
Spellings = Annotated[dict[Name, YamlText | None], NAMED_KEYS]

#: What a date format may hold: each of these at most once. Two-digit years (%y) name no century.
_DIRECTIVES = {
    "%d": r"\d{1,2}",
    "%m": r"\d{1,2}",
    "%b": r"[^\W\d_]+\.?",
    "%B": r"[^\W\d_]+",
    "%Y": r"\d{4}",
    "%H": r"\d{1,2}",
    "%M": r"\d{1,2}",
    "%S": r"\d{1,2}",
}


def date_pattern(date_format: str) -> str:
    """A regular expression for texts of a strptime format.

    Where two numbers follow each other without a mark, both have their full width, so that
    2001111 is refused rather than read as one of two days.

    >>> date_pattern("%d.%m.%Y")
    '\\\\d{1,2}\\\\.\\\\d{1,2}\\\\.\\\\d{4}'
    """
    pieces = re.findall(r"%.|[^%]+", date_format)
    adjacent = re.search(r"%[dmYHMS]%[dmYHMS]", date_format) is not None
    pattern = "".join(_DIRECTIVES.get(piece, re.escape(piece)) for piece in pieces)
    return pattern.replace("{1,2}", "{2}") if adjacent else pattern


def _names_a_day(date_format: str) -> str:
    found = re.findall(r"%.?", date_format)
    wrong = [part for part in found if part not in _DIRECTIVES]
    if wrong:
        raise ValueError(f"{wrong[0]} is none of {', '.join(_DIRECTIVES)}")
    months = [part for part in found if part in ("%m", "%b", "%B")]
    if len(set(found)) < len(found) or len(months) != 1 or not {"%d", "%Y"} <= set(found):
        raise ValueError("a date format names day, month and year once each, e.g. %d/%m/%Y")
    return date_format


class IngestParameters(Section):
    """How one's own tables are spelled; empty: as the ingest contract has it."""

    columns: dict[TableName, Spellings] = Field(
        default={},
        description="by table: name of a column in the file -> its name in the contract; null: "
        "the column is not read",
    )
    values: dict[TableName, dict[Name, Spellings]] = Field(
        default={},
        description="by table and column of the contract: text in the file -> code; null: missing",
    )
    treatments: Annotated[dict[Name, YamlText], NAMED_KEYS] = Field(
        default={},
        description="text of treatments.dmt -> a drug name of cohort.treatments",
    )
    date_format: Annotated[YamlText, AfterValidator(_names_a_day)] | None = Field(
        default=None,
        description="strptime format of all dates written as text, e.g. %d/%m/%Y; null: YYYY-MM-DD",
    )
    patient_ids: PatientIds = Field(
        default="as_written",
        description="as_written: an id names one patient; as_numbers: so it does, but leading "
        "zeros and .0 do not count; by_country, by_clinic: it does within a country or clinic_code",
    )

    limits: FileLimits = Field(
        default=FileLimits(), description="of each file, which is refused before it is read"
    )

    def column_names(self, table: str) -> dict[str, str | None]:
        """Names of a table's columns in the file -> names of the contract."""
        return next((names for key, names in self.columns.items() if key == table), {})

    def codes(self, table: str, column: str) -> Mapping[str, str | None]:
        """Texts in a column of a table -> codes, countries or drug names.

        A country has one set of spellings, in whichever table it stands.
        """
        if column == "dmt":
            return self.treatments
        table = "patients" if column == "country" else table
        return next(
            (by[column] for t, by in self.values.items() if t == table and column in by), {}
        )

    @field_validator("columns", "values", mode="before")
    @classmethod
    def _no_table_is_empty(cls, given: object) -> object:
        if isinstance(given, Mapping):
            return {table: {} if inner is None else inner for table, inner in given.items()}
        return given

    @model_validator(mode="after")
    def _maps_lead_into_the_contract(self) -> Self:
        for table, names in self.columns.items():
            known = [column.name for column in COLUMNS[table]]
            _no_spelling_twice(names, f"columns.{table}")
            targets = [target for target in names.values() if target is not None]
            for source, target in names.items():
                if target is not None and target not in known:
                    raise ValueError(
                        f"columns.{table}: {source!r} leads to {target!r}, and {table} has only "
                        f"{', '.join(known)}"
                    )
                if target is not None and targets.count(target) > 1:
                    raise ValueError(f"columns.{table}: two names lead to {target}; keep one")
        for table, by_column in self.values.items():
            allowed_in = {
                column.name: FLAG_CODES if column.kind == "flag" else column.canonical
                for column in CONTRACT[table]
                if column.kind in ("code", "flag") or column.name == "country"
            }
            for name, codes in by_column.items():
                if name not in allowed_in:
                    raise ValueError(
                        f"values.{table}: {name!r} is none of "
                        f"{', '.join(allowed_in) or 'no column'}"
                    )
                _no_spelling_twice(codes, f"values.{table}.{name}")
                allowed = allowed_in[name]
                for text, code in codes.items():
                    # A code may be missing; a country has to have a name.
                    believed = code in (None, *allowed) if allowed else (code or "").strip()
                    if not believed:
                        raise ValueError(
                            f"values.{table}.{name}: {text!r} leads to {code!r}; use "
                            f"{', '.join(allowed) or 'a name'}"
                        )
        _no_spelling_twice(self.treatments, "treatments")
        return self


def _no_spelling_twice(spellings: Iterable[str], where: str) -> None:
    seen: dict[str, str] = {}
    for spelling in spellings:
        key = folded(spelling)
        # Columns may differ in case alone: a file can hold EDSS and edss.
        if not key or (key in seen and not where.startswith("columns")):
            other = f"is the same as {seen[key]!r}" if key else "is empty"
            raise ValueError(f"{where}: the spelling {spelling!r} {other}; keep one")
        seen[key] = spelling
