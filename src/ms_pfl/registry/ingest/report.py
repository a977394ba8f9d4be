"""The ingest report: every violation that reading has found, and what was done about it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.registry.ingest.refusals import Origin, first_row, refusal
from ms_pfl.registry.ingest.rules import RULES, STOPPED

_log = logging.getLogger(__name__)

REPORT_COLUMNS = ("table", "row", "column", "value", "rule", "action")
_LONGEST_VALUE = 60
_CONSOLE_LINES = 8


class IngestError(InputError):
    """Tables that cannot be used.

    Attributes:
        report: the whole report, as :meth:`IngestReport.table` gives it.
    """

    def __init__(self, message: str, report: pd.DataFrame | None = None) -> None:
        """Say the first violation in `message`, and carry them all in `report`."""
        super().__init__(message)
        self.report = IngestReport().table() if report is None else report


class IngestReport:
    """Collects violations while all tables are read; stops, or tells, at the end."""

    def __init__(self) -> None:
        """Start with nothing found."""
        self._parts: list[pd.DataFrame] = []
        self._message: str | None = None
        self._told = 0
        self._n_errors = 0
        self._first: dict[str, str] = {}
        self._unusable: set[str] = set()

    @property
    def stopped(self) -> bool:
        """Whether an error was found."""
        return self._message is not None

    def unusable(self, table: str) -> bool:
        """Whether a file, or the form of a table, was refused as a whole."""
        return table in self._unusable

    def refuse(
        self,
        wrong: pd.Series,
        values: pd.Series,
        origin: Origin,
        problem: str,
        remedy: str,
        rule: str,
    ) -> None:
        """Note wrong rows that stop the run; arguments as of :func:`.columns.refuse`."""
        if not wrong.any():
            return
        count = int(wrong.sum())
        self._stop(refusal(wrong, values, origin, problem, remedy), count)
        column = origin.names.get(str(values.name), str(values.name))
        self._add(origin, wrong, column, values, rule)

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
            rule: key of :data:`RULES`.
            message: one line.
            table: patients, visits, relapses or treatments.
            column: where it is about one.
            rows: line and text of each wrong row, where it is about rows.
        """
        self._unusable.add(table)
        self._stop(message, max(len(rows), 1))
        listed: Sequence[tuple[int | None, str]] = rows or [(None, "")]
        self._append(
            table,
            [row for row, _ in listed],
            column,
            [text for _, text in listed],
            rule,
            RULES[rule].action,
        )

    def tolerate(
        self, rule: str, found: pd.Series, origin: Origin, column: str, values: pd.Series
    ) -> None:
        """Note rows that are dropped, changed or kept, as the rule says.

        Args:
            rule: key of :data:`RULES`.
            found: bool, indexed by row position.
            origin: where the table came from.
            column: of the contract; empty where the whole row is meant.
            values: to be shown, indexed like `found`.
        """
        if not found.any():
            return
        column = origin.names.get(column, column)
        place = origin.place(first_row(found)) + (f", column {column}" if column else "")
        self._first.setdefault(rule, place)
        self._add(origin, found, column, values, rule)

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

    def table(self) -> pd.DataFrame:
        """All that was found: table, row, column, value, rule, action; a row a violation.

        Rows are lines of a text file as an editor counts them, or rows of a Parquet file or of a
        table in memory counted from 1; missing where a whole table or column is meant.
        """
        if not self._parts:
            empty = pd.DataFrame({name: pd.Series(dtype="str") for name in REPORT_COLUMNS})
            return empty.astype({"row": "Int64"})
        order = {"": 0, "patients": 1, "visits": 2, "relapses": 3, "treatments": 4}
        found = pd.concat(self._parts, ignore_index=True)
        position = found["table"].map(order)
        by = found.assign(position=position, row=found["row"].fillna(0))
        return found.loc[by.sort_values(["position", "row"], kind="stable").index].reset_index(
            drop=True
        )

    def conclude(self) -> pd.DataFrame:
        """The report, with a line on the console for each rule that changed or counted something.

        Raises:
            IngestError: something was found that stops the run; it carries the report.
        """
        found = self.table()
        if self._message is not None:
            others = self._n_errors - self._told
            more = f"; {others} more error{'s' if others > 1 else ''} found" if others else ""
            raise IngestError(self._message + more, found)
        counts = found["rule"].value_counts()
        loud = [rule for rule in RULES if rule in self._first and not RULES[rule].quiet]
        for rule in loud[:_CONSOLE_LINES]:
            _log.warning(
                "%d %s: %s (the first: %s)",
                counts[rule], RULES[rule].meaning, RULES[rule].action, self._first[rule],
            )  # fmt: skip
        if loud[_CONSOLE_LINES:]:
            _log.warning("more in the ingest report: %s", ", ".join(loud[_CONSOLE_LINES:]))
        return found

    def _stop(self, message: str, count: int) -> None:
        if self._message is None:
            self._message, self._told = message, count
        self._n_errors += count

    def _add(
        self, origin: Origin, found: pd.Series, column: str, values: pd.Series, rule: str
    ) -> None:
        mask = found.to_numpy(dtype=bool)
        rows = origin.rows(found.index.to_numpy()[mask])
        self._append(
            origin.table, rows.tolist(), column, values[mask].tolist(), rule, RULES[rule].action
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
        assert action == STOPPED or RULES[rule].action != STOPPED
        part = pd.DataFrame(
            {
                "table": table,
                "row": pd.array(rows, dtype="Int64"),
                "column": _shown(column),
                "value": pd.array([_shown(value) for value in values], dtype="str"),
                "rule": rule,
                "action": _shown(action, longest=200),
            }
        )
        text = {name: "str" for name in REPORT_COLUMNS if name != "row"}
        self._parts.append(part.astype(text))


def _shown(value: object, longest: int = _LONGEST_VALUE) -> str:
    """A value in one short line."""
    if value is None or value is pd.NaT or value is pd.NA or value != value:
        return ""
    if isinstance(value, pd.Timestamp | np.datetime64):
        return f"{pd.Timestamp(value):%Y-%m-%d}"
    text = str(value)[: longest + 1]
    if not text.isprintable():
        text = repr(text)[1:-1]
    return text if len(text) <= longest else text[: longest - 3] + "..."
