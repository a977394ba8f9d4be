"""Where a table came from, and the one line that refuses a wrong value in it.

A refusal gives the file or table, line or row, column, value, what is wrong, and what to do.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError


@dataclass(frozen=True)
class FileNote:
    """How a file was read.

    Attributes:
        rule: key of :data:`ms_pfl.registry.ingest.rules.RULES`.
        column: of the file; "" where all of it is meant.
        value: what stands there.
        action: how it was read.
        row: number of the row, where it is about one.
    """

    rule: str
    column: str
    value: str
    action: str
    row: int | None = None


@dataclass(frozen=True)
class Origin:
    """Where a table came from, how its rows are counted in messages, and how it is spelled.

    Attributes:
        label: file or description of the table.
        unit: "line" of a text file or "row" of a table.
        first: number of the first row in that count.
        names: what the source calls a column, where that is not the contract's name.
        table: patients, visits, relapses or treatments.
        lines: line of each row, where rows and lines do not go together.
        separator: mark between the cells of a text file.
        commas: whether numbers may have a decimal comma whatever the separator is.
        notes: how the file was read, where not as the usual text file.
    """

    label: str
    unit: str
    first: int
    names: dict[str, str] = field(default_factory=dict)
    table: str = ""
    lines: np.ndarray | None = field(default=None, compare=False)
    separator: str = ","
    commas: bool = False
    notes: tuple[FileNote, ...] = field(default=(), compare=False)

    @property
    def decimal_comma(self) -> bool:
        """Whether numbers written as text may have one."""
        return self.commas or self.separator != ","

    def rows(self, positions: np.ndarray) -> np.ndarray:
        """Numbers of the rows at positions (0-based)."""
        return positions + self.first if self.lines is None else self.lines[positions]

    def row(self, position: int) -> int:
        """Return the number of the row at a position (0-based)."""
        return int(self.rows(np.array([position]))[0])

    def first_row(self, found: pd.Series) -> int:
        """Return the number of the first true entry of a bool series that is indexed by row
        position."""
        return self.row(first_row(found))

    def place(self, position: int) -> str:
        """Name the row at a position (0-based)."""
        return f"{self.label}, {self.unit} {self.row(position)}"

    def column(self, values: pd.Series) -> str:
        """Return what the source calls the column of some values; "" where they are of none."""
        name = str(values.name or "")
        return self.names.get(name, name)


#: Called with the arguments of :func:`refuse` for each kind of wrong value.
Refuse = Callable[[pd.Series, pd.Series, Origin, str, str, str], None]
#: Called with a rule, which cells it is about, the cells, where they are from, and what was done.
Note = Callable[[str, pd.Series, pd.Series, Origin, str], None]


def unnoted(rule: str, found: pd.Series, values: pd.Series, origin: Origin, said: str) -> None:
    """Take no note of values, where nobody keeps a report."""


def refuse(
    wrong: pd.Series,
    values: pd.Series,
    origin: Origin,
    problem: str,
    remedy: str,
    rule: str = "",
) -> None:
    """Refuse a column where a row is wrong.

    Args:
        wrong: bool, indexed by row position.
        values: what stands there, to be shown; its name is the column's.
        origin: where the table came from.
        problem: what is wrong with the value, as the rest of a sentence that begins with it.
        remedy: what to do about it.
        rule: key of :data:`ms_pfl.registry.ingest.rules.RULES`, for who collects.

    Raises:
        InputError: for the first wrong row, with a count of the others.
    """
    if wrong.any():
        raise InputError(refusal(wrong, values, origin, problem, remedy))


def refusal(wrong: pd.Series, values: pd.Series, origin: Origin, problem: str, remedy: str) -> str:
    """Return the line of :func:`refuse`; at least one row is wrong."""
    position = first_row(wrong)
    value = values.loc[position]
    if isinstance(value, pd.Timestamp):
        shown = f"{value:%Y-%m-%d}"
    else:
        shown = "" if pd.isna(value) or value == "" else repr(str(value)[:80])
    if len(shown) > 60:
        shown = shown[:57] + "..."
    return (
        f"{origin.place(position)}, column {origin.column(values)}: "
        f"{shown + ' ' if shown else 'the value '}{problem}; {remedy}{and_more(int(wrong.sum()))}"
    )


class UnusableFile(InputError):
    """A file that is no table.

    Attributes:
        rule: key of :data:`ms_pfl.registry.ingest.rules.RULES`.
        rows: line and text of each wrong row, where it is about rows.
    """

    def __init__(self, message: str, rule: str = "", rows: list[tuple[int, str]] | None = None):
        """Say what is wrong with the file in one line."""
        super().__init__(message)
        self.rule = rule
        self.rows = rows or []


def and_more(count: int) -> str:
    """How many more there are than the one that a message names, if any."""
    return f" (and {count - 1} more like it)" if count > 1 else ""


def quoted(text: str) -> str:
    """Return a text as YAML has it in quotes, on one line.

    >>> quoted("NO"), quoted("a\\tb")
    ('"NO"', '"a\\\\tb"')
    """
    return json.dumps(text, ensure_ascii=not text.isprintable())


def first_row(wrong: pd.Series) -> int:
    """Row position (0-based, in the source) of the first true entry."""
    return int(wrong.index.to_numpy()[wrong.to_numpy().argmax()])
