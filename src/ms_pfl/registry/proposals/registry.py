"""Read a registry's folder without using it: what stands in the way, and settings that read it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from ms_pfl.names import folded
from ms_pfl.registry.contract import CONTRACT, REQUIRED_COLUMNS, Column
from ms_pfl.registry.ingest.cells import MISSING, as_text
from ms_pfl.registry.ingest.encodings import unmarked_utf16
from ms_pfl.registry.ingest.parameters import YOURS, IngestParameters, IngestProfile
from ms_pfl.registry.ingest.report import IngestError, Problem
from ms_pfl.registry.ingest.table_files import find_table
from ms_pfl.registry.ingest.tables import RegistryTables, ingest
from ms_pfl.registry.proposals.date_guesses import formats_of, is_partial, looks_like_a_date
from ms_pfl.registry.proposals.files import (
    frame_of,
    likely_columns,
    likely_file,
    likely_profile,
)
from ms_pfl.registry.proposals.settings_text import Leaf, Proposal, put, settings_of, yours
from ms_pfl.registry.proposals.words import MISSING_NUMBERS, MISSING_WORDS, code_of

_ROUNDS = 12
_NUMBERS = ("not_a_number", "out_of_range", "edss_not_on_scale")


@dataclass(frozen=True)
class Check:
    """What a check of a registry's folder has found.

    Attributes:
        problems: what stops a run by the present settings, or by those with the proposal's first
            parts, which bring further errors to light.
        unsolved: those that no setting solves.
        proposal: settings below ``ingest``.
        tables: as they are read by the present settings and the proposal, with something tried
            where only the site knows a value; None where they are not.
        report: the ingest report of that reading.
    """

    problems: tuple[Problem, ...]
    unsolved: tuple[Problem, ...]
    proposal: Proposal
    tables: RegistryTables | None
    report: pd.DataFrame = field(default_factory=pd.DataFrame)


def check_folder(
    folder: str | Path,
    parameters: IngestParameters,
    profiles: Sequence[IngestProfile] = (),
    *,
    today: pd.Timestamp | None = None,
    unread_treatments: Callable[[pd.Series], pd.Series] | None = None,
) -> Check:
    """Read a folder, and look for settings by which it can be read.

    Args:
        folder: as of :func:`ms_pfl.registry.ingest.tables.ingest`.
        parameters: the present settings.
        profiles: that may be proposed.
        today: as of :func:`~ms_pfl.registry.ingest.tables.ingest`.
        unread_treatments: likewise.
    """
    folder = Path(folder)
    proposal: Proposal = {}
    seen: dict[tuple[str, str, str], Problem] = {}
    current = parameters
    for _ in range(_ROUNDS):
        try:
            tables, report = ingest(
                folder, current, today=today, unread_treatments=unread_treatments
            )
        except IngestError as error:
            stopped, report = error.problems, error.report
        else:
            return Check(tuple(seen.values()), (), proposal, tables, report)
        for one in stopped:
            seen.setdefault((one.table, one.column, one.rule), one)
        helper = _Helper(folder, current, profiles, proposal)
        if not helper.extend(stopped):
            break
        current = with_settings(parameters, settings_of(proposal, trial=True), profiles)
    return Check(tuple(seen.values()), tuple(stopped), proposal, None, report)


def with_settings(
    parameters: IngestParameters, proposed: Mapping[str, Any], profiles: Sequence[IngestProfile]
) -> IngestParameters:
    """Return parameters with proposed settings beside them."""
    given = _merged(parameters.model_dump(mode="json"), proposed)
    name = given.get("profile")
    if isinstance(name, str):
        given["profile"] = next(one.model_dump(mode="json") for one in profiles if one.name == name)
    return IngestParameters.model_validate(given)


def _merged(given: Mapping[str, Any], proposed: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(given)
    for key, value in proposed.items():
        inner = found.get(key)
        found[key] = (
            _merged(inner, value) if isinstance(inner, dict) and isinstance(value, dict) else value
        )
    return found


class _Helper:
    """Extends a proposal by what is found in the files of one reading."""

    def __init__(
        self,
        folder: Path,
        current: IngestParameters,
        profiles: Sequence[IngestProfile],
        proposal: Proposal,
    ) -> None:
        self.folder, self.current, self.profiles = folder, current, profiles
        self.proposal = proposal
        self.changed = False
        self._frames: dict[str, pd.DataFrame | None] = {}

    def extend(self, problems: Sequence[Problem]) -> bool:
        """Add what solves some problems; return whether anything was added."""
        rules = {one.rule for one in problems}
        if rules & {"table_absent", "column_absent"} and not self._uses_a_profile():
            profile = likely_profile(self.folder, self.profiles)
            if profile is not None:
                self.put(Leaf(profile.name), "profile")
                return True
        for one in problems:
            self._solve(one)
        dates = [one for one in problems if one.rule == "not_a_date"]
        if dates:
            self._solve_dates(dates)
        return self.changed

    def put(self, leaf: Leaf, *path: str) -> None:
        """Add a setting unless one stands there."""
        self.changed |= put(self.proposal, leaf, *path)

    def _uses_a_profile(self) -> bool:
        return self.current.profile is not None or bool(self.proposal)

    def _frame(self, table: str) -> pd.DataFrame | None:
        if table not in self._frames:
            self._frames[table] = frame_of(self.folder, table, self.current)
        return self._frames[table]

    def _solve(self, one: Problem) -> None:
        if one.rule == "table_absent" and one.table:
            self._solve_table(one.table)
        elif one.rule in ("not_utf8", "nul_byte"):
            self._solve_encoding(one.table)
        elif one.rule == "column_absent":
            self._solve_columns(one.table)
        elif one.rule in _NUMBERS:
            self._solve_numbers(one)
        elif one.rule in ("not_a_code", "not_a_flag"):
            self._solve_codes(one)
        elif one.rule == "day_in_doubt":
            self.put(
                yours("the time zone of the clinics, such as Europe/Paris", "UTC"), "time_zone"
            )
        elif one.rule == "value_absent" and one.table in ("relapses", "treatments"):
            if one.column != "PATIENT_ID" and one.column != "dmt":
                self.put(Leaf("drop", "rows without a date may be left out"), "undated")
        elif found := re.search(
            r"set ingest\.patient_ids: (as_numbers|by_country|by_clinic)", one.message
        ):
            self.put(Leaf(found[1], "see docs/ingest.md, Patient ids"), "patient_ids")

    def _solve_table(self, table: str) -> None:
        taken = [
            str(leaf.value)
            for leaf in self.proposal.get("files", {}).values()
            if isinstance(leaf, Leaf)
        ]
        name = likely_file(self.folder, table, taken)
        if name is not None:
            self.put(Leaf(name, "by its name"), "files", table)
        elif table in ("relapses", "treatments"):
            what = f"name of the file with the {table}, or null where there is none"
            self.put(yours(what, None), "files", table)

    def _solve_encoding(self, table: str) -> None:
        path = find_table(self.folder, table, self.current.file_pattern(table))
        data = path.read_bytes()
        found = unmarked_utf16(data)
        if found is None and b"\0" in data:
            return
        if found is not None:
            self.put(Leaf(found), "encoding", table)
            return
        text = data.decode("cp1252", "replace")
        odd = re.findall(r"\w*[^\x00-\x7f]\w*", text)
        self.put(
            Leaf("cp1252", f"see whether {odd[0][:40] if odd else 'its text'} reads well"),
            "encoding", table,
        )  # fmt: skip

    def _solve_columns(self, table: str) -> None:
        frame = self._frame(table)
        if frame is None:
            return
        given = [str(name) for name in frame.columns]
        mapped = {folded(name) for name in (
            *self.current.column_names(table), *self.current.profile_names(table)
        )}  # fmt: skip
        free = [name for name in given if folded(name) not in mapped]
        led_to = {*self.current.column_names(table).values()} | {
            target
            for name, target in self.current.profile_names(table).items()
            if folded(name) in {folded(one) for one in given}
        }
        found = {
            name: target
            for name, target in likely_columns(table, free, self.profiles).items()
            if target not in led_to and target not in self.current.constants_of(table)
        }
        for name, target in found.items():
            self.put(Leaf(target, "by its name"), "columns", table, name)
        have = {name.casefold() for name in given}
        for needed in REQUIRED_COLUMNS[table]:
            if needed in found.values() or needed in led_to or needed.casefold() in have:
                continue
            if needed == "country" and "country" not in self.current.constants:
                self.put(
                    yours("the country of these patients", "one country"), "constants", "country"
                )
            elif needed == "END_DATE":
                continue
            else:
                self.put(yours(needed, None), "columns", table,
                         f"{YOURS}the column with {needed})")  # fmt: skip

    def _solve_numbers(self, one: Problem) -> None:
        column = _column(one)
        for text in one.values:
            word = folded(text)
            if word in MISSING_WORDS:
                self._add_missing(text)
            elif text.removesuffix(".0") in MISSING_NUMBERS and column is not None:
                limit = 10 if column.kind == "edss" else column.high
                self.put(
                    Leaf(None, f"{text} means not known, as values end at {limit:g}"),
                    "values", one.table, one.column, text.removesuffix(".0"),
                )  # fmt: skip
            elif re.fullmatch(r"[+-]?\d+,\d+", text) and one.rule == "not_a_number":
                self.put(Leaf(True), "decimal_comma")
            elif one.rule == "not_a_number" and column is not None:
                self.put(
                    yours("a number in quotes, or null where it means not known", None),
                    "values", one.table, one.column, text,
                )  # fmt: skip

    def _solve_codes(self, one: Problem) -> None:
        column, frame = _column(one), self._frame(one.table)
        if column is None or frame is None:
            return
        codes = "0 or 1, in quotes" if column.kind == "flag" else " or ".join(column.canonical)
        known = {text: code_of(column.name, text) for text in one.values}
        for text, code in known.items():
            if folded(text) in MISSING_WORDS:
                self._add_missing(text)
            elif code is not None:
                self.put(Leaf(code), "values", one.table, column.name, text)
            else:
                trial = "0" if column.kind == "flag" else column.canonical[0]
                self.put(
                    yours(f"{codes}, or null where it means not known", trial),
                    "values", one.table, column.name, text,
                )  # fmt: skip
        # Where one text has another meaning than it says, all of them need a look: 1 of 1 and 2.
        if any(code is None and folded(t) not in MISSING_WORDS for t, code in known.items()):
            for text in self._texts(one.table, column.name):
                if text in known or folded(text) in MISSING_WORDS:
                    continue
                self.put(
                    yours(f"{codes}, or null where it means not known", None),
                    "values", one.table, column.name, text,
                )  # fmt: skip

    def _add_missing(self, word: str) -> None:
        leaf = self.proposal.get("missing")
        known = list(leaf.value) if isinstance(leaf, Leaf) else list(self.current.missing)
        if folded(word) not in map(folded, known):
            self.proposal["missing"] = Leaf([*known, word])
            self.changed = True

    def _solve_dates(self, problems: Sequence[Problem]) -> None:
        written: dict[tuple[str, str], set[str]] = {}
        for one in problems:
            column = _column(one)
            if column is None:
                continue
            texts = self._texts(one.table, one.column)
            words = [t for t in texts if not looks_like_a_date(t) and not is_partial(t, ())]
            for text in words:
                if folded(text) in MISSING_WORDS:
                    self._add_missing(text)
            whole = {t for t in texts if t not in words}
            partial = {t for t in whole if is_partial(t, ("%d/%m/%Y",))}
            if partial and column.may_be_partial:
                self.put(
                    Leaf("middle", "of a year or month the middle is near enough"),
                    "partial_dates",
                )  # fmt: skip
            if whole - partial:
                written[one.table, one.column] = whole - partial
        self._put_formats(written)

    def _put_formats(self, written: Mapping[tuple[str, str], set[str]]) -> None:
        if not written or self.current.date_format is not None or "date_format" in self.proposal:
            return
        together = formats_of(set().union(*written.values()))
        everywhere = {
            (table, column.name)
            for table in CONTRACT
            for column in CONTRACT[table]
            if column.kind == "date" and self._texts(table, column.name)
        }
        if together and everywhere <= set(written):
            self.put(_format(together), "date_format")
            return
        for (table, column), texts in written.items():
            if found := formats_of(texts):
                self.put(_format(found), "date_format", table, column)

    def _texts(self, table: str, column: str) -> list[str]:
        """Distinct texts of a column of the contract, those for a missing value left out."""
        frame = self._frame(table)
        if frame is None:
            return []
        names = {**self.current.profile_names(table), **self.current.column_names(table)}
        spelled = {folded(name) for name, target in names.items() if target == column}
        spelled |= {folded(column), *(folded(a) for c in CONTRACT[table] if c.name == column
                                      for a in c.aliases)}  # fmt: skip
        at = [i for i, name in enumerate(frame.columns) if folded(str(name)) in spelled]
        if not at or not _is_text(frame.iloc[:, at[0]]):
            return []
        words = (*MISSING, *(word.upper() for word in self.current.missing_words()))
        codes = {folded(text) for text in self.current.codes(table, column)}
        text = as_text(frame.iloc[:, at[0]], words).dropna().drop_duplicates()
        return [one for one in text if folded(one) not in codes]


def _is_text(cells: pd.Series) -> bool:
    return not pd.api.types.is_datetime64_any_dtype(cells)


def _format(found: Sequence[str]) -> Leaf:
    if len(found) == 1:
        return Leaf(found[0])
    return yours(" or ".join(found), found[0])


def _column(one: Problem) -> Column | None:
    return next((c for c in CONTRACT.get(one.table, ()) if c.name == one.column), None)
