"""The four tables of a registry in the ingest contract: read from a folder, or checked as given.

Reading never writes: a folder of tables is left as it was found.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.registry.checks import (
    FUTURE_VISIT_DAYS,
    FUTURE_VISIT_DAYS_BY_PATIENT,
    check_between_tables,
    check_table,
)
from ms_pfl.registry.columns import Origin
from ms_pfl.registry.contract import CONTRACT


@dataclass(frozen=True)
class RegistryTables:
    """Four tables in the ingest contract, as :mod:`ms_pfl.registry.schemas` describes them."""

    patients: pd.DataFrame
    visits: pd.DataFrame
    relapses: pd.DataFrame
    treatments: pd.DataFrame


def read_folder(folder: str | Path, *, today: pd.Timestamp | None = None) -> RegistryTables:
    """Read and check the four tables of a folder; nothing is written there.

    Args:
        folder: holds patients, visits, relapses and treatments, each as .csv (UTF-8, separated
            by commas) or .parquet.
        today: dates after this day are in the future, warned of and left out; the current day
            where not given.

    Returns:
        The canonical tables: all columns of the contract, missing where the files lack them.
        ``attrs["source"]`` of each says where it came from (``kind`` ``synthetic`` where the
        patients' Parquet file says so itself, else ``folder``), and ``visits.attrs`` how many days
        with a visit were left out because they lie in the future (``FUTURE_VISIT_DAYS``).

    Raises:
        InputError: a table, column or value breaks the contract; the message names the file, the
            line as an editor shows it, the column, the value and the remedy.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"the registry folder {folder} does not exist or is no folder; "
            "name a folder that holds patients, visits, relapses and treatments as .csv or .parquet"
        )
    paths = {name: _find(folder, name) for name in CONTRACT}
    frames: dict[str, pd.DataFrame] = {}
    origins: dict[str, Origin] = {}
    for name, path in paths.items():
        if path.suffix == ".csv":
            frames[name] = read_csv(path)
            # Line 1 of a file is its header.
            origins[name] = Origin(str(path), "line", 2)
        else:
            frames[name] = _read_parquet(path)
            origins[name] = Origin(str(path), "row", 1)
    source = {"kind": "folder", "description": f"registry tables in {folder.resolve().name}"}
    return _check(frames, origins, frames["patients"].attrs.get("source", source), today)


def check(
    tables: RegistryTables, origin: str, *, today: pd.Timestamp | None = None
) -> RegistryTables:
    """Check and canonicalize tables in memory, as :func:`read_folder` does for files.

    Args:
        tables: four tables with at least the required columns of the contract.
        origin: what they are, for messages, e.g. "synthetic registry".
        today: as in :func:`read_folder`.

    Returns:
        Canonical copies. ``attrs["source"]`` is kept where the patients table carries one.

    Raises:
        InputError: as in :func:`read_folder`; rows are counted from 1.
    """
    frames = {name: getattr(tables, name) for name in CONTRACT}
    origins = {name: Origin(f"{origin}, {name} table", "row", 1) for name in CONTRACT}
    source = tables.patients.attrs.get("source", {"kind": "own", "description": origin})
    return _check(frames, origins, source, today)


def _check(
    frames: dict[str, pd.DataFrame],
    origins: dict[str, Origin],
    source: dict[str, str],
    today: pd.Timestamp | None,
) -> RegistryTables:
    limit = (today or pd.Timestamp.now()).normalize()
    canonical = {
        name: check_table(name, frame, origins[name], limit) for name, frame in frames.items()
    }
    check_between_tables(canonical, origins)
    for name, frame in canonical.items():
        canonical[name] = frame.reset_index(drop=True)
        canonical[name].attrs = {"source": dict(source)}
        if name == "visits":
            for left_out in (FUTURE_VISIT_DAYS, FUTURE_VISIT_DAYS_BY_PATIENT):
                canonical[name].attrs[left_out] = frame.attrs[left_out]
    return RegistryTables(**canonical)


def _find(folder: Path, name: str) -> Path:
    found = [path for suffix in (".csv", ".parquet") if (path := folder / (name + suffix)).exists()]
    if not found:
        hint = (
            "a table with a header only will do where none are known"
            if name in ("relapses", "treatments")
            else "the table is required"
        )
        raise InputError(
            f"{folder} holds neither {name}.csv nor {name}.parquet; add the file ({hint})"
        )
    if len(found) > 1:
        raise InputError(
            f"{folder} holds both {name}.csv and {name}.parquet; keep the one that counts"
        )
    return found[0]


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file with every cell as text; blank lines stay, so that the index gives the line.

    Raises:
        InputError: the file is empty, no UTF-8, or no regular comma-separated table.
    """
    try:
        with warnings.catch_warnings():
            # A line longer than the header would lose its last cells with a mere warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            header = pd.read_csv(
                path, header=None, nrows=1, dtype=str, encoding="utf-8-sig", na_filter=False
            )
            frame = pd.read_csv(
                path,
                dtype=str,
                encoding="utf-8-sig",
                na_filter=False,
                skip_blank_lines=False,
                index_col=False,
            )
    except pd.errors.EmptyDataError:
        raise InputError(
            f"{path} is empty; its first line must name the columns, as the ingest contract does"
        ) from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not UTF-8 text; save it as CSV UTF-8") from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise InputError(
            f"{path} is no regular table: {reason}; "
            'separate cells by commas and put text with commas in "quotes"'
        ) from None
    names = [str(name).strip() for name in header.iloc[0]]
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        raise InputError(f"{path} is separated by semicolons or tabs; save it separated by commas")
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise InputError(f"{path} has two columns named {repeated[0]}; keep one of them")
    return frame


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path} is no readable parquet file ({reason}); write it anew") from None
    # What an earlier reading noted of its own file does not hold for this one; that the tables
    # are simulated holds wherever they lie.
    said = frame.attrs.get("source")
    synthetic = isinstance(said, dict) and said.get("kind") == "synthetic"
    frame.attrs = {"source": said} if synthetic else {}
    return frame
