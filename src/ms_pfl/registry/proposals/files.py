"""Which file of a folder holds which table, which profile it looks like, and its columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from ms_pfl.names import folded
from ms_pfl.registry.contract import COLUMNS, CONTRACT, REQUIRED_COLUMNS
from ms_pfl.registry.ingest.parameters import IngestParameters, IngestProfile
from ms_pfl.registry.ingest.refusals import UnusableFile
from ms_pfl.registry.ingest.table_files import READ, find_table, read_table
from ms_pfl.registry.ingest.tables import file_settings
from ms_pfl.registry.proposals.words import COLUMN_WORDS, FILE_WORDS, bare


def frame_of(folder: Path, table: str, parameters: IngestParameters) -> pd.DataFrame | None:
    """Return a table as it is read before anything is made of its cells; None where it is not."""
    if parameters.has_no_table(table):
        return None
    try:
        path = find_table(folder, table, parameters.file_pattern(table))
        return read_table(path, table, file_settings(parameters, table))[0]
    except UnusableFile:
        return None


def likely_profile(folder: Path, profiles: Sequence[IngestProfile]) -> IngestProfile | None:
    """Return the profile by which patients and visits of a folder have the columns they need.

    Of several it is the one that finds most tables and names of columns.
    """
    best: tuple[tuple[int, int], IngestProfile] | None = None
    for profile in profiles:
        parameters = IngestParameters(profile=profile)
        known: dict[str, int] = {}
        for table in CONTRACT:
            frame = frame_of(folder, table, parameters)
            if frame is None:
                continue
            given = {folded(str(name)) for name in frame.columns}
            names = parameters.profile_names(table)
            of_profile = {name for name in names if folded(name) in given}
            columns = {names[name] for name in of_profile} | {
                column.name for column in COLUMNS[table] if folded(column.name) in given
            } | {*parameters.days_from_of(table)}  # fmt: skip
            needed = {*REQUIRED_COLUMNS[table]} - {"country"}
            if needed <= columns and of_profile:
                known[table] = len(of_profile)
        score = (len(known), sum(known.values()))
        if {"patients", "visits"} <= known.keys() and (best is None or score > best[0]):
            best = (score, profile)
    return None if best is None else best[1]


def likely_file(folder: Path, table: str, taken: Sequence[str]) -> str | None:
    """Return the one file whose name looks like that of a table."""
    names = [
        path.name
        for path in sorted(folder.iterdir())
        if path.is_file() and path.suffix.lower() in READ and path.name not in taken
    ]
    found = [name for name in names if any(word in bare(name) for word in FILE_WORDS[table])]
    return found[0] if len(found) == 1 else None


def likely_columns(
    table: str, given: Sequence[str], profiles: Sequence[IngestProfile]
) -> dict[str, str]:
    """Return names of a file's columns -> columns of the contract that they look like.

    Names that the contract knows already are left out, and so are those of which two columns could
    be one.

    >>> likely_columns("visits", ["Pat. ID", "Visit date", "EDSS", "weight"], [])
    {'Pat. ID': 'PATIENT_ID', 'Visit date': 'DATE_OF_VISIT'}
    """
    contract = {
        spelling.casefold(): column.name
        for column in COLUMNS[table]
        for spelling in (column.name, *column.aliases)
    }
    found = {contract[name.casefold()] for name in given if name.casefold() in contract}
    free = [name for name in given if name and name.casefold() not in contract]
    words = {target: list(known) for target, known in COLUMN_WORDS[table].items()}
    for column in COLUMNS[table]:
        words.setdefault(column.name, []).insert(0, bare(column.name))
    for profile in profiles:
        for key, names in profile.columns.items():
            for name, target in names.items():
                if key == table and target is not None:
                    words.setdefault(target, []).append(bare(name))
    mapped: dict[str, str] = {}
    for target, known in words.items():
        if target in found:
            continue
        for word in dict.fromkeys(known):
            named = [name for name in free if bare(name) == word and name not in mapped]
            if named:
                if len(named) == 1:
                    mapped[named[0]] = target
                break
    return mapped
