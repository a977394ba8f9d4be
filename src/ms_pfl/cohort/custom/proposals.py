"""Look at a custom table without using it: what stands in the way, and settings that read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ms_pfl.cohort.custom.cells import text_cells
from ms_pfl.cohort.custom.columns import MAX_LEVELS, read_feature, read_label
from ms_pfl.cohort.custom.readings import as_set
from ms_pfl.cohort.custom.table import named_table, own_episodes
from ms_pfl.cohort.parameters import OwnEpisodesParameters
from ms_pfl.errors import InputError
from ms_pfl.names import folded
from ms_pfl.registry.ingest.refusals import Origin
from ms_pfl.registry.ingest.report import IngestReport
from ms_pfl.registry.proposals.settings_text import Leaf, Proposal, put, settings_of, yours
from ms_pfl.registry.proposals.words import MISSING_WORDS, bare

_ROUNDS = 8
_SITES = ("site", "hospital", "center", "centre", "clinic", "country", "institution", "centro",
          "zentrum", "ward", "region")  # fmt: skip
_LABELS = ("label", "outcome", "y", "target", "died", "death", "event", "class", "worse", "result",
           "diagnosis", "response")  # fmt: skip
_PATIENTS = ("patientid", "patient", "subject", "subjectid", "id", "pid", "patid")
#: In a table so large, a column of texts that differ in every row is taken for an identifier.
_ENOUGH_ROWS = 20


@dataclass(frozen=True)
class TableCheck:
    """What a check of a custom table has found.

    Attributes:
        problems: what stops a run by the present settings, in one line each.
        unsolved: those that no setting solves.
        proposal: settings below ``own_episodes``.
        episodes: as they are read by the present settings and the proposal, with something tried
            where only the owner knows a value; None where they are not.
        report: the ingest report of that reading.
    """

    problems: tuple[str, ...]
    unsolved: tuple[str, ...]
    proposal: Proposal
    episodes: pd.DataFrame | None
    report: pd.DataFrame


def check_table(
    table: pd.DataFrame, origin: Origin, parameters: OwnEpisodesParameters
) -> TableCheck:
    """Look at every column of a table, and for settings by which it can be read.

    Args:
        table: as :func:`ms_pfl.cohort.custom.table.read_file` gives it.
        origin: for messages.
        parameters: the present settings.
    """
    proposal: Proposal = {}
    seen: dict[str, None] = {}
    current = parameters
    stopped: list[str] = []
    for _ in range(_ROUNDS):
        stopped = _obstacles(table, origin, current, proposal)
        if not stopped:
            report = IngestReport()
            try:
                episodes, _ = own_episodes(table, origin, current, report)
            except InputError as error:
                stopped = [str(error)]
            else:
                return TableCheck(tuple(seen), (), proposal, episodes, report.table())
        seen |= dict.fromkeys(stopped)
        tried = with_settings(parameters, settings_of(proposal, trial=True))
        if tried == current:
            break
        current = tried
    return TableCheck(tuple(seen), tuple(stopped), proposal, None, IngestReport().table())


def with_settings(
    parameters: OwnEpisodesParameters, proposed: Mapping[str, Any]
) -> OwnEpisodesParameters:
    """Return parameters with proposed settings beside them."""
    given = parameters.model_dump(mode="json")
    for key, value in proposed.items():
        both = isinstance(value, dict) and isinstance(given.get(key), dict)
        given[key] = {**given[key], **value} if both else value
    return OwnEpisodesParameters.model_validate(given)


def _obstacles(
    table: pd.DataFrame, origin: Origin, current: OwnEpisodesParameters, proposal: Proposal
) -> list[str]:
    """Return what stops a run, one line per column; the proposal is extended by what solves it."""
    try:
        named = named_table(table, origin)
    except InputError as error:
        return [str(error)]
    stopped = _absent_columns(named, origin, current, proposal)
    if stopped:
        return stopped
    try:
        cells = as_set(named, current.columns.label, origin, current, IngestReport())
    except InputError as error:
        return [str(error)]
    if problem := _label_problem(cells, origin, current, proposal):
        stopped.append(problem)
    # whichever rows are left out, the cells of all are looked at
    every = current.model_copy(update={"unlabelled": None, "labels_left_out": ()})
    cells = as_set(named, current.columns.label, origin, every, IngestReport())
    given = current.columns
    mapped = {given.site, given.label, given.patient_id, given.episode_id, given.t0}
    mapped |= {"patient_id", "episode_id", "t0"} & {*cells.columns}
    for name in cells.columns:
        if name not in mapped and name not in current.leave_out:
            problem = _feature_problem(cells[name], origin, current, proposal)
            stopped += [problem] if problem else []
    return stopped


def _absent_columns(
    table: pd.DataFrame, origin: Origin, current: OwnEpisodesParameters, proposal: Proposal
) -> list[str]:
    found = []
    for setting, words in (("site", _SITES), ("label", _LABELS)):
        name = getattr(current.columns, setting)
        if name in table.columns:
            continue
        found.append(
            f"{origin.label} has no column {name}, which own_episodes.columns.{setting} names"
        )
        alike = [one for word in words for one in table.columns if bare(one) == word]
        if alike:
            put(proposal, Leaf(alike[0], "by its name"), "columns", setting)
        else:
            put(proposal, yours(f"the column with the {setting}", name), "columns", setting)
    patient = current.columns.patient_id
    if found and patient is None and "patient_id" not in table.columns:
        alike = [one for word in _PATIENTS for one in table.columns if bare(one) == word]
        if alike:
            put(proposal, Leaf(alike[0], "by its name"), "columns", "patient_id")
    return found


def _label_problem(
    table: pd.DataFrame, origin: Origin, current: OwnEpisodesParameters, proposal: Proposal
) -> str | None:
    label = table[current.columns.label]
    try:
        read_label(label, origin, current)
    except InputError as error:
        text = text_cells(label)
        words = [one for one in text.dropna().unique() if folded(one) in MISSING_WORDS]
        for word in words:
            _add_missing(word, current, proposal)
        if text.isna().any():
            put(proposal, Leaf("drop", "rows without a label may be left out"), "unlabelled")
        counts = text[~text.isin(words)].value_counts()
        common = sorted(map(str, counts.index), key=lambda one: (-int(counts[one]), one))
        found, others = sorted(common[:2]), common[2:]
        if {one.upper() for one in found} not in ({"0", "1"}, {"TRUE", "FALSE"}) and (
            current.positive is None and len(found) >= 2
        ):
            shown = " or ".join(found)
            put(
                proposal,
                yours(f"the label of those who had the outcome, {shown}", found[-1]),
                "positive",
            )
        if others and not current.labels_left_out:
            put(
                proposal,
                yours("a list of the labels to leave out, so that two remain", others),
                "labels_left_out",
            )
        return str(error)
    return None


def _feature_problem(
    cells: pd.Series, origin: Origin, current: OwnEpisodesParameters, proposal: Proposal
) -> str | None:
    name = str(cells.name)
    categorical = name in current.categorical
    try:
        read = read_feature(cells, origin, categorical=categorical, mark=current.numbers.get(name))
    except InputError as error:
        _solve(cells, str(error), current, proposal)
        return str(error)
    different = read.dropna().nunique()
    if not pd.api.types.is_numeric_dtype(read) and (
        different > MAX_LEVELS or (different == len(read) >= _ENOUGH_ROWS and not categorical)
    ):
        _add(proposal, "leave_out", name, current.leave_out)
        return (
            f"{origin.label}, column {name}: {different} different texts in {len(read)} rows; an "
            "identifier? name it in own_episodes.leave_out"
        )
    return None


def _solve(cells: pd.Series, said: str, current: OwnEpisodesParameters, proposal: Proposal) -> None:
    """Extend the proposal by what the refusal of a column advises."""
    name = str(cells.name)
    text = text_cells(cells).dropna()
    words = [one for one in text.unique() if folded(one) in MISSING_WORDS]
    for word in words:
        _add_missing(word, current, proposal)
    if words:
        return  # the rest shows once these are read
    if "is a date" in said:
        _add(proposal, "leave_out", name, current.leave_out)
    elif "is a limit and no number" in said:
        for one in text[text.str.contains(r"^(?:[<>≤≥~≈]|over|under|above|below)|\+$")].unique():
            number = re.search(r"\d+(?:[.,]\d+)?", one)
            put(
                proposal,
                yours(f'a number in quotes, such as "{number[0]}", or null: missing', None)
                if number
                else yours("a number in quotes, or null: missing", None),
                "values", name, one,
            )  # fmt: skip
    elif "is a percentage" in said and "beside" not in said:
        _add(proposal, "percent", name, current.percent)
    elif "may be" in said and "may be a code" not in said:
        put(proposal, yours("point or comma, the decimal mark", "point"), "numbers", name)
    elif "has a decimal comma" in said:
        put(proposal, Leaf("comma"), "numbers", name)
    elif "may be a code" in said:
        _add(proposal, "categorical", name, current.categorical)
    elif "is no number, as other rows" in said or "has a unit" in said or "stands beside" in said:
        odd = text[pd.to_numeric(text, errors="coerce").isna()].unique()
        if len(odd) <= 5:
            for one in odd:
                put(
                    proposal, yours("a number in quotes, or null: missing", None),
                    "values", name, one,
                )  # fmt: skip
        else:
            _add(proposal, "categorical", name, current.categorical)


def _add_missing(word: str, current: OwnEpisodesParameters, proposal: Proposal) -> None:
    leaf = proposal.get("missing")
    known = list(leaf.value) if isinstance(leaf, Leaf) else list(current.missing)
    if folded(word) not in map(folded, known):
        proposal["missing"] = Leaf([*known, word])


def _add(proposal: Proposal, setting: str, name: str, present: tuple[str, ...]) -> None:
    leaf = proposal.get(setting)
    known = list(leaf.value) if isinstance(leaf, Leaf) else list(present)
    if name not in known:
        proposal[setting] = Leaf([*known, name], "by its cells")
