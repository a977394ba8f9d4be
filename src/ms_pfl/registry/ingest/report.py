"""The rules of ingestion, and the report: every violation found, and what was done about it.

``docs/ingest.md`` lists the rules with an example each.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.registry.contract import CONTRACT
from ms_pfl.registry.ingest.refusals import Origin, refusal

_log = logging.getLogger(__name__)

REPORT_COLUMNS = ("table", "row", "column", "value", "rule", "action")
_LONGEST_VALUE = 60
_CONSOLE_LINES = 8

STOPPED = "stopped"
DROPPED = "dropped row"
MISSING = "set to missing"
KEPT_ONE = "kept one"
KEPT = "kept"


@dataclass(frozen=True)
class Rule:
    """What one rule finds.

    Attributes:
        meaning: what the counted rows or values are, for the console.
        action: what is done; ``stopped`` ends the run.
        quiet: a remark on how a file was read, which the console leaves to the report.
    """

    meaning: str
    action: str
    quiet: bool = False


RULES: dict[str, Rule] = {
    # a file, or its form
    "folder_absent": Rule("folders that are not there", STOPPED),
    "table_absent": Rule("tables that are not there", STOPPED),
    "table_twice": Rule("tables in two files", STOPPED),
    "file_unreadable": Rule("files that cannot be read", STOPPED),
    "not_utf8": Rule("files in another encoding", STOPPED),
    "nul_byte": Rule("files with NUL bytes", STOPPED),
    "no_header": Rule("files without column names", STOPPED),
    "header_short": Rule("headers one name short", STOPPED),
    "ragged_row": Rule("rows with more or fewer cells than the header", STOPPED),
    "open_quote": Rule("quotation marks that are never closed", STOPPED),
    "row_in_a_cell": Rule("cells that have swallowed rows", STOPPED),
    "column_absent": Rule("columns that are not there", STOPPED),
    "column_twice": Rule("columns that stand twice", STOPPED),
    "no_row": Rule("tables without a row", STOPPED),
    # a value
    "value_absent": Rule("required values that are missing", STOPPED),
    "not_a_date": Rule("values that are no date", STOPPED),
    "day_in_doubt": Rule("times in a time zone", STOPPED),
    "date_too_early": Rule("dates too early to believe", STOPPED),
    "not_a_number": Rule("values that are no number", STOPPED),
    "edss_not_on_scale": Rule("EDSS scores that do not exist", STOPPED),
    "out_of_range": Rule("numbers outside their limits", STOPPED),
    "not_a_flag": Rule("values that are neither 0 nor 1", STOPPED),
    "not_a_code": Rule("codes that are unknown", STOPPED),
    "text_too_long": Rule("names too long for a name", STOPPED),
    "spreadsheet_value": Rule("values that a spreadsheet has spoilt", STOPPED),
    # rows against each other
    "patient_twice": Rule("patients in two rows that differ", STOPPED),
    "patient_in_doubt": Rule("rows of an id that several patients have", STOPPED),
    "other_country": Rule("rows of another country than the patient's", STOPPED),
    "two_clinics": Rule("visits at two clinics on one day", STOPPED),
    "patient_unknown": Rule("rows of a patient who is not in the patients table", STOPPED),
    "before_birth": Rule("dates before the birth", STOPPED),
    # repaired, dropped, or kept and counted
    "empty_row": Rule("rows without any value", DROPPED),
    "duplicate_row": Rule("rows that repeat an earlier one", KEPT_ONE),
    "future_row": Rule("rows dated in the future", DROPPED),
    "future_value": Rule("values dated in the future", MISSING),
    "end_before_start": Rule("treatments that end before they start", DROPPED),
    "no_edss": Rule("visits without an EDSS, which give no episode", KEPT),
    "same_day_edss": Rule("visits on a day with several EDSS", "kept, the lowest counts"),
    "visit_before_onset": Rule("visits before the MS onset", "kept, onset unknown then"),
    "relapse_before_onset": Rule("relapses before the MS onset", KEPT),
    "diagnosis_before_onset": Rule("diagnoses before the MS onset", KEPT),
    "patient_without_visit": Rule("patients without a visit, who give no episode", KEPT),
    "country_spelling": Rule("countries whose names look alike, each a client of its own", KEPT),
    "country_not_named": Rule("countries called as a missing value is", KEPT),
    # how a file was read
    "separator": Rule("files not separated by commas", "read so", quiet=True),
    "decimal_comma": Rule("columns with decimal commas", "read as decimal points", quiet=True),
    "column_mapped": Rule("columns under another name", "read", quiet=True),
    "column_not_read": Rule("columns outside the contract", "not read", quiet=True),
    "text_normalized": Rule("names in another form of Unicode", "read", quiet=True),
    "value_mapped": Rule("values under another spelling", "read", quiet=True),
    "treatment_mapped": Rule("treatments under another spelling", "read", quiet=True),
    "map_unused": Rule("entries of a map that match no cell", "no effect", quiet=True),
    # The cohort warns of these two itself.
    "treatment_unknown": Rule("treatments in no class", "no treatment", quiet=True),
    "treatment_blinded": Rule("drugs of a blinded trial", "no treatment", quiet=True),
}


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
        self._others = 0
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
            self._stop(refusal(wrong, values, origin, problem, remedy), int(wrong.sum()))
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
            rule: key of :data:`RULES`.
            message: one line.
            table: patients, visits, relapses or treatments.
            column: where it is about one.
            rows: line and text of each wrong row, where it is about rows.
        """
        self.unusable.add(table)
        self._stop(message, max(len(rows), 1))
        found: Sequence[tuple[int | None, str]] = rows or [(None, "")]
        lines, texts = zip(*found, strict=True)
        self._append(table, lines, column, texts, rule, RULES[rule].action)

    def tolerate(self, rule: str, found: pd.Series, origin: Origin) -> None:
        """Note rows that are dropped, changed or kept, as the rule says.

        Args:
            rule: key of :data:`RULES`.
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

    def table(self) -> pd.DataFrame:
        """All that was found: table, row, column, value, rule, action; a row a violation.

        Rows are lines of a text file as an editor counts them, or rows of a Parquet file or of a
        table in memory counted from 1; missing where a whole table or column is meant.
        """
        tables = ("", *CONTRACT)
        rows = sorted(self._rows, key=lambda found: (tables.index(found[0]), found[1] or 0))
        dtypes = dict.fromkeys(REPORT_COLUMNS, "str") | {"row": "Int64"}
        return pd.DataFrame(rows, columns=list(REPORT_COLUMNS)).astype(dtypes)

    def conclude(self) -> pd.DataFrame:
        """The report, with a line on the console for each rule that changed or counted something.

        Raises:
            IngestError: something was found that stops the run; it carries the report.
        """
        found = self.table()
        if self.message is not None:
            others = self._others
            more = f"; {others} more error{'s' if others > 1 else ''} found" if others else ""
            raise IngestError(self.message + more, found)
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
        if self.message is None:
            self.message = message
        else:
            self._others += count

    def _note(self, rule: str, found: pd.Series, origin: Origin) -> None:
        """Note each row of what was found, as the rule says."""
        rows = origin.rows(found.index.to_numpy()).tolist()
        self._append(
            origin.table, rows, origin.column(found), found.tolist(), rule, RULES[rule].action
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
        name = _shown(column)
        said = _shown(action, longest=200)
        self._rows += [
            (table, row, name, _shown(value), rule, said)
            for row, value in zip(rows, values, strict=True)
        ]


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
