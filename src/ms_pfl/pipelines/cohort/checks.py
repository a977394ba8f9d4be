"""What ``check_tables`` writes and says, of a registry's folder or a custom table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ms_pfl.cohort.contribution import COLUMNS, of_episodes, of_registry
from ms_pfl.cohort.parameters import CohortParameters, OwnEpisodesParameters
from ms_pfl.errors import InputError
from ms_pfl.registry.ingest.parameters import IngestParameters, IngestProfile
from ms_pfl.registry.proposals.settings_text import Proposal, as_yaml, left_open

PROBLEMS = ("table", "column", "rule", "count", "solved", "problem")
_SOLVED, _TO_CORRECT = "by the proposed settings", "to correct in the tables"
_SHOWN = 30


@dataclass(frozen=True)
class Checked:
    """What a check has found.

    Attributes:
        problems: a row each, with the columns :data:`PROBLEMS`.
        settings: YAML to paste.
        contribution: as :func:`ms_pfl.cohort.contribution.of_registry` gives it.
        report: the ingest report by the proposed settings.
        told: lines for the console.
    """

    problems: pd.DataFrame
    settings: str
    contribution: pd.DataFrame
    report: pd.DataFrame
    told: tuple[str, ...]


def check_registry(
    folder: Path,
    parameters: IngestParameters,
    cohort: CohortParameters,
    profiles: Sequence[IngestProfile],
) -> Checked:
    """Check a registry's folder by the present settings.

    Args:
        folder: holds the files.
        parameters: how they are read.
        cohort: how visits become episodes.
        profiles: that may be proposed.
    """
    from ms_pfl.cohort.treatments import unread
    from ms_pfl.registry.proposals.registry import check_folder

    if not folder.is_dir():
        raise InputError(
            f"the registry folder {folder} does not exist or is no folder; name a folder that "
            "holds the tables"
        )
    found = check_folder(
        folder, parameters, profiles,
        unread_treatments=lambda dmt: unread(dmt, cohort.treatments),
    )  # fmt: skip
    unsolved = {(one.table, one.column, one.rule) for one in found.unsolved}
    rows = [
        (one.table, one.column, one.rule, one.count,
         _TO_CORRECT if (one.table, one.column, one.rule) in unsolved else _SOLVED, one.message)
        for one in found.problems
    ]  # fmt: skip
    contribution = None if found.tables is None else of_registry(found.tables, cohort)
    return _checked(rows, "ingest", found.proposal, contribution, found.report)


def check_custom(file: str, parameters: OwnEpisodesParameters) -> Checked:
    """Check a custom table by the present settings."""
    from ms_pfl.cohort.custom.proposals import check_table
    from ms_pfl.cohort.custom.table import read_file

    table, origin = read_file(file, parameters=parameters)
    found = check_table(table, origin, parameters)
    rows = [
        ("episodes", "", "", 1, _TO_CORRECT if one in found.unsolved else _SOLVED, one)
        for one in found.problems
    ]
    contribution = None if found.episodes is None else of_episodes(found.episodes)
    return _checked(rows, "own_episodes", found.proposal, contribution, found.report)


def _checked(
    rows: list[tuple[str, str, str, int, str, str]], section: str, proposal: Proposal,
    contribution: pd.DataFrame | None, report: pd.DataFrame,
) -> Checked:  # fmt: skip
    problems = pd.DataFrame(rows, columns=list(PROBLEMS))
    problems = problems.astype(dict.fromkeys(PROBLEMS, "str") | {"count": "int64"})
    settings = as_yaml({section: proposal}) if proposal else "# nothing is to be set\n"
    told = [f"{len(rows)} things stand in the way" if rows else "Nothing stands in the way"]
    told += [f"{one[4]}: {one[5]}" for one in rows[:_SHOWN]]
    if len(rows) > _SHOWN:
        told.append(f"... and {len(rows) - _SHOWN} more, in problems.csv")
    if proposal:
        told += ["Settings to paste into conf/local/parameters.yml:", *settings.splitlines()]
    told += [f"Yours to fill in: {one}" for one in left_open(proposal)]
    if contribution is None:
        told.append("What could be contributed is known once the rest is corrected")
        contribution = pd.DataFrame(columns=list(COLUMNS), dtype="str")
    else:
        shown = contribution[contribution["part"].isin(["rows", "episodes"])]
        counts = ", ".join(f"{row.item} {row.value}" for row in shown.itertuples())
        tried = " (with something tried where a value is yours)" if left_open(proposal) else ""
        told.append(f"What could be contributed{tried}: {counts}")
    return Checked(problems, settings, contribution, report, tuple(told))
