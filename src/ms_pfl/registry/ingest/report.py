"""The report of ingestion: every violation found, and what was done about it."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.registry.contract import CONTRACT
from ms_pfl.registry.ingest.refusals import Origin, first_row, refusal
from ms_pfl.registry.ingest.rules import ALL_RULES, STOPPED

_log = logging.getLogger(__name__)

REPORT_COLUMNS = ("table", "row", "column", "value", "rule", "action")
_LONGEST_VALUE = 60
_CONSOLE_LINES = 8
_DISTINCT_VALUES = 200


@dataclass(frozen=True)
class Problem:
    """What stops a run: one kind of violation in one column.

    Attributes:
        table: patients, visits, relapses or treatments; "" where all are meant.
        column: of the contract, or as the file calls it; "" where all of the table is meant.
        rule: key of :data:`.rules.RULES`.
        values: the first distinct values that are wrong.
        count: how many rows, columns or files it is about.
        message: file, row, column, value and remedy of the first, in one line.
    """

    table: str
    column: str
    rule: str
    values: tuple[str, ...]
    count: int
    message: str


class IngestError(InputError):
    """Tables that cannot be used.

    Attributes:
        report: the whole report, as :meth:`IngestReport.table` gives it.
        problems: each kind of violation that stops the run.
    """

    def __init__(
        self,
        message: str,
        report: pd.DataFrame | None = None,
        problems: tuple[Problem, ...] = (),
    ) -> None:
        """Say the first violation in `message`, and carry them all in `report`."""
        super().__init__(message)
        self.report = IngestReport().table() if report is None else report
        self.problems = problems


class IngestReport:
    """Collects violations while all tables are read; stops, or tells, at the end.

    Attributes:
        message: the first error, or None.
        unusable: tables of which a file, or the form as a whole, was refused.
    """

    def __init__(self) -> None:
        """Start with nothing found."""
        self.unusable: set[str] = set()
        self._rows: list[tuple[str, int | None, str, str, str, str]] = []
        self.message: str | None = None
        self._problems: list[Problem] = []
        self._first: dict[str, str] = {}

    def refuse(
        self,
        wrong: pd.Series,
        values: pd.Series,
        origin: Origin,
        problem: str,
        remedy: str,
        rule: str,
    ) -> None:
        """Note wrong rows that stop the run; arguments as of :func:`.refusals.refuse`."""
        if wrong.any():
            message = refusal(wrong, values, origin, problem, remedy)
            held = values[wrong.to_numpy(dtype=bool)].drop_duplicates().head(_DISTINCT_VALUES)
            self._stop(
                Problem(
                    origin.table, str(values.name or ""), rule, tuple(map(_text, held)),
                    int(wrong.sum()), message,
                )
            )  # fmt: skip
            self._note(rule, values[wrong.to_numpy(dtype=bool)], origin)

    def refuse_table(
        self,
        rule: str,
        message: str,
        table: str,
        column: str = "",
        rows: Sequence[tuple[int, str]] = (),
    ) -> None:
        """Note that a file or the form of a table stops the run.

        Args:
            rule: key of :data:`.rules.RULES`.
            message: one line.
            table: patients, visits, relapses or treatments.
            column: where it is about one.
            rows: line and text of each wrong row, where it is about rows.
        """
        self.unusable.add(table)
        texts = tuple(text for _, text in rows[:_DISTINCT_VALUES])
        self._stop(Problem(table, column, rule, texts, max(len(rows), 1), message))
        found: Sequence[tuple[int | None, str]] = rows or [(None, "")]
        lines, texts = zip(*found, strict=True)
        self._append(table, lines, column, texts, rule, ALL_RULES[rule].action)

    def tolerate(self, rule: str, found: pd.Series, origin: Origin) -> None:
        """Note rows that are dropped, changed or kept, as the rule says.

        Args:
            rule: key of :data:`.rules.RULES`.
            found: what is to be shown of each such row, indexed by row position; its name is the
                column of the contract, or empty where the whole row is meant.
            origin: where the table came from.
        """
        if len(found):
            column = origin.column(found)
            place = origin.place(int(found.index[0])) + (f", column {column}" if column else "")
            self._first.setdefault(rule, place)
            self._note(rule, found, origin)

    def remark(
        self,
        rule: str,
        origin: Origin,
        column: str,
        value: str,
        action: str,
        row: int | None = None,
    ) -> None:
        """Note how a file, a column or a spelling was read."""
        self._append(origin.table, [row], column, [value], rule, action)

    def count(
        self, rule: str, found: pd.Series, values: pd.Series, origin: Origin, said: str
    ) -> None:
        """Note in one row how many values of a column were read in another way than written.

        Args:
            rule: key of :data:`.rules.RULES`.
            found: bool, which they are, indexed by row position.
            values: what stands there; its name is the column of the contract.
            origin: where the table came from.
            said: how they were read.
        """
        if found.any():
            row = first_row(found)
            self.remark(
                rule, origin, origin.column(values), str(values.loc[row]),
                f"{said} in {int(found.sum())} rows", origin.row(row),
            )  # fmt: skip

    def table(self) -> pd.DataFrame:
        """All that was found: table, row, column, value, rule, action; a row per violation.

        Rows are lines of a text file as an editor counts them, or rows of a Parquet file or of a
        table in memory counted from 1; missing where a whole table or column is meant.
        """
        tables = ("", *CONTRACT, "episodes")
        rows = sorted(self._rows, key=lambda found: (tables.index(found[0]), found[1] or 0))
        return report_of(rows)

    def conclude(self) -> pd.DataFrame:
        """Return the report, with a line on the console for each rule that changed or counted
        something.

        Raises:
            IngestError: something was found that stops the run; it carries the report.
        """
        found = self.table()
        if self.message is not None:
            others = sum(one.count for one in self._problems) - self._problems[0].count
            more = f"; {others} more error{'s' if others > 1 else ''} found" if others else ""
            raise IngestError(self.message + more, found, tuple(self._problems))
        counts = found["rule"].value_counts()
        loud = [rule for rule in ALL_RULES if rule in self._first and not ALL_RULES[rule].quiet]
        for rule in loud[:_CONSOLE_LINES]:
            _log.warning(
                "%d %s: %s (the first: %s)",
                counts[rule], ALL_RULES[rule].meaning, ALL_RULES[rule].action, self._first[rule],
            )  # fmt: skip
        if loud[_CONSOLE_LINES:]:
            _log.warning("more in the ingest report: %s", ", ".join(loud[_CONSOLE_LINES:]))
        return found

    def _stop(self, problem: Problem) -> None:
        if self.message is None:
            self.message = problem.message
        self._problems.append(problem)

    def _note(self, rule: str, found: pd.Series, origin: Origin) -> None:
        """Note each row of what was found, as the rule says."""
        rows = origin.rows(found.index.to_numpy()).tolist()
        self._append(
            origin.table, rows, origin.column(found), found.tolist(), rule, ALL_RULES[rule].action
        )

    def _append(
        self,
        table: str,
        rows: Sequence[int | None],
        column: str,
        values: Sequence[object],
        rule: str,
        action: str,
    ) -> None:
        assert action == STOPPED or ALL_RULES[rule].action != STOPPED
        name = _shown(column)
        said = _shown(action, longest=200)
        self._rows += [
            (table, row, name, _shown(value), rule, said)
            for row, value in zip(rows, values, strict=True)
        ]


def rows_of(report: pd.DataFrame) -> list[list[Any]]:
    """Return the rows of a report as JSON has them."""
    return [
        [None if pd.isna(cell) else int(cell) if name == "row" else cell
         for name, cell in zip(REPORT_COLUMNS, row, strict=True)]
        for row in report.itertuples(index=False)
    ]  # fmt: skip


def report_of(rows: Sequence[Sequence[Any]]) -> pd.DataFrame:
    """Return the report whose rows :func:`rows_of` has given."""
    dtypes = dict.fromkeys(REPORT_COLUMNS, "str") | {"row": "Int64"}
    return pd.DataFrame(list(rows), columns=list(REPORT_COLUMNS)).astype(dtypes)


def _text(value: object) -> str:
    """Return a value as a map of ``ingest.values`` names it."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return _shown(value)


def _shown(value: object, longest: int = _LONGEST_VALUE) -> str:
    """Return a value in one short line."""
    if value is None or value is pd.NaT or value is pd.NA or value != value:
        return ""
    if isinstance(value, pd.Timestamp | np.datetime64):
        return f"{pd.Timestamp(value):%Y-%m-%d}"
    text = str(value)[: longest + 1]
    if not text.isprintable():
        text = repr(text)[1:-1]
    return text if len(text) <= longest else text[: longest - 3] + "..."
