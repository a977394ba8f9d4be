"""Convert the sample data of the R package MSoutcomes to the four tables of the ingest contract.

    python -m ms_pfl.registry.importers.msoutcomes sample_data.csv data/01_raw/msoutcomes

The layout is that of its ``SampleData`` (MSoutcomes 0.2.1, CORe, University of Melbourne): one row
an EDSS, with the Kurtzke functional systems and the days since the latest relapse, stored
negative. Sex, dates of birth and onset, course and treatment are not in it.
"""

import argparse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.files import whole_file
from ms_pfl.names import normal
from ms_pfl.registry.contract import (
    CONTRACT,
    EARLIEST_RECORD_YEAR,
    FUNCTIONAL_SYSTEMS,
    REQUIRED_COLUMNS,
    Column,
)
from ms_pfl.registry.ingest.columns import read_column
from ms_pfl.registry.ingest.csv_files import read_csv
from ms_pfl.registry.ingest.parameters import IngestParameters
from ms_pfl.registry.ingest.patient_ids import PatientNames
from ms_pfl.registry.ingest.refusals import refuse
from ms_pfl.registry.ingest.report import IngestReport
from ms_pfl.registry.ingest.tables import RegistryTables, check, check_table

DEFAULT_COUNTRY = "MSoutcomes sample"

#: Column of the file -> column of the visits table; systems in the order of KFS_1..7, ambulation.
_COLUMNS = {
    "ID": "PATIENT_ID",
    "dateEDSS": "DATE_OF_VISIT",
    "EDSS": "EDSS",
    **dict(
        zip(
            ("FSpyr", "FScrbl", "FSbstem", "FSsens", "FSsph", "FSvis", "FScereb", "FSamb"),
            FUNCTIONAL_SYSTEMS,
            strict=True,
        )
    ),
}
_REQUIRED = ("ID", "dateEDSS", "EDSS")
_DAYS = Column("daysPostRelapse", "number", low=-36525, high=0)


def convert(file: str | Path, country: str = DEFAULT_COUNTRY) -> RegistryTables:
    """Read a file in the layout of MSoutcomes' ``SampleData``.

    Args:
        file: CSV with ID, dateEDSS (YYYY-MM-DD), EDSS, and where known the functional systems and
            daysPostRelapse (days, zero or negative: relapse = dateEDSS + daysPostRelapse).
        country: of all patients, as the file names none.

    Returns:
        Canonical tables; relapses are those of all dated rows, with an EDSS or without, distinct
        by patient and day; treatments are empty.

    Raises:
        InputError: the file is missing, lacks a column, or holds a value outside the contract.
    """
    path = Path(file)
    if not path.is_file():
        raise InputError(f"{path} is no file; name a CSV in the layout of MSoutcomes' SampleData")
    raw, origin = read_csv(path)
    missing = [name for name in _REQUIRED if name not in raw]
    if missing:
        raise InputError(
            f"{path} has no column {missing[0]}; it has {', '.join(raw.columns)}, "
            f"and the layout of MSoutcomes' SampleData needs {', '.join(_REQUIRED)}"
        )
    for name in (*_COLUMNS, _DAYS.name):
        if list(raw.columns).count(name) > 1:
            raise InputError(f"{path} has two columns named {name}; keep one of them")
    origin = replace(origin, names={new: old for old, new in _COLUMNS.items()})
    known = raw[[name for name in _COLUMNS if name in raw]].rename(columns=_COLUMNS)
    report = IngestReport()
    visits, _ = check_table(
        "visits",
        known,
        origin,
        pd.Timestamp.now().normalize(),
        report,
        IngestParameters(),
        PatientNames(),
    )
    report.conclude()
    patients = pd.DataFrame(
        {"PATIENT_ID": visits["PATIENT_ID"].drop_duplicates(), "country": normal(country)}
    )
    days = read_column(
        raw["daysPostRelapse"].loc[visits.index] if "daysPostRelapse" in raw else None,
        _DAYS,
        visits.index,
        origin,
    )
    onset = visits["DATE_OF_VISIT"] + pd.to_timedelta(np.rint(days), unit="D")
    refuse(
        onset < pd.Timestamp(EARLIEST_RECORD_YEAR, 1, 1),
        days.map("{:g}".format).rename(_DAYS.name),
        origin,
        f"puts the relapse before {EARLIEST_RECORD_YEAR}",
        "correct it or leave it empty",
    )
    relapses = pd.DataFrame({"PATIENT_ID": visits["PATIENT_ID"], "DATE_OF_ONSET": onset}).dropna()
    relapses = relapses.drop_duplicates().sort_values(["PATIENT_ID", "DATE_OF_ONSET"])
    treatments = pd.DataFrame({name: [] for name in REQUIRED_COLUMNS["treatments"]}, dtype="str")
    return check(RegistryTables(patients, visits, relapses, treatments), str(path))


def write_tables(tables: RegistryTables, folder: str | Path, *, overwrite: bool = False) -> None:
    """Write tables as CSV files that :func:`ms_pfl.registry.ingest.tables.read_folder` reads.

    Columns in which nothing is known are left out unless the contract requires them. All files
    appear or none; those that hold the same already are left as they are.

    Args:
        tables: canonical tables.
        folder: made where it does not exist.
        overwrite: replace tables of other content.

    Raises:
        InputError: a table of other content stands there, or the folder cannot be written.
    """
    folder = Path(folder)
    texts = {folder / f"{name}.csv": _as_csv(name, getattr(tables, name)) for name in CONTRACT}
    try:
        changed = {
            path: text
            for path, text in texts.items()
            if not path.exists() or path.read_bytes() != text
        }
        standing = [path for path in changed if path.exists()]
        if standing and not overwrite:
            raise InputError(
                f"{standing[0]} exists with other content; "
                "name another folder, or add --overwrite to replace the tables there"
            )
        with ExitStack() as files:  # which take their places when all are written
            for path, text in changed.items():
                files.enter_context(whole_file(path)).write_bytes(text)
    except OSError as error:
        raise InputError(
            f"cannot write to {folder}: {error.strerror}; name another folder"
        ) from None


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line: FILE DIR [--country NAME] [--overwrite]."""
    parser = argparse.ArgumentParser(
        prog="python -m ms_pfl.registry.importers.msoutcomes",
        description="Convert MSoutcomes' SampleData to the four tables of the ingest contract.",
    )
    parser.add_argument("file", metavar="FILE", help="CSV in the layout of SampleData")
    parser.add_argument("folder", metavar="DIR", help="where the four tables are written")
    parser.add_argument(
        "--country", default=DEFAULT_COUNTRY, help="country of all patients (%(default)s)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace other tables there")
    options = parser.parse_args(arguments)
    try:
        tables = convert(options.file, options.country)
        write_tables(tables, options.folder, overwrite=options.overwrite)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    counts = ", ".join(f"{len(getattr(tables, name))} {name}" for name in CONTRACT)
    print(f"{options.folder}: {counts}")


def _as_csv(name: str, table: pd.DataFrame) -> bytes:
    known = [
        column
        for column in table
        if column in REQUIRED_COLUMNS[name] or table[column].notna().any()
    ]
    text = table[known].to_csv(
        index=False, date_format="%Y-%m-%d", float_format="%g", lineterminator="\n"
    )
    return str(text).encode()


if __name__ == "__main__":
    main()
