"""Which file of a folder holds a table, and what to do with a file that is not read."""

from __future__ import annotations

from pathlib import Path

from ms_pfl.registry.ingest.csv_files import UnusableFile

#: Endings of files that are read, in any case.
READ = (".csv", ".parquet")
_EXCEL = (
    "an Excel workbook; save its sheet as {csv} of the type CSV UTF-8, with ids shown as text, "
    "dates as YYYY-MM-DD and numbers with all their decimals (the file holds what Excel shows)"
)
_TEXT = "a text file; copy it to {csv} (cells separated by commas, semicolons, tabs or bars)"
_PACKED = "packed; unpack it and name the table in it {csv}"
_WITH_PANDAS = (
    "; write it as Parquet: python -c \"import pandas; pandas.{read}('{path}')"
    ".to_parquet('{parquet}')\""
)
#: What a file of another ending is, and how its table can be read.
_OTHERS = {
    ".xlsx": _EXCEL,
    ".xlsm": _EXCEL,
    ".xls": _EXCEL,
    ".ods": _EXCEL.replace("an Excel workbook", "a spreadsheet").replace("Excel", "the program"),
    ".txt": _TEXT,
    ".tsv": _TEXT,
    ".tab": _TEXT,
    ".dat": _TEXT,
    ".gz": _PACKED,
    ".bz2": _PACKED,
    ".xz": _PACKED,
    ".zip": _PACKED,
    ".7z": _PACKED,
    ".dta": "a Stata file" + _WITH_PANDAS.replace("{read}", "read_stata"),
    ".sas7bdat": "a SAS file"
    + _WITH_PANDAS.replace("'{path}'", "'{path}', encoding='infer'").replace("{read}", "read_sas"),
    ".sav": "an SPSS file; write it from SPSS: SAVE TRANSLATE OUTFILE='{csv}' /TYPE=CSV "
    "/ENCODING='UTF8' /FIELDNAMES",
    ".rds": "an R file; write it from R: write.csv(readRDS('{path}'), '{csv}', "
    "row.names = FALSE, na = '', fileEncoding = 'UTF-8')",
}


def find_table(folder: Path, name: str) -> Path:
    """Return the file of a table, whatever the case of its name.

    Args:
        folder: holds it.
        name: patients, visits, relapses or treatments.

    Raises:
        UnusableFile: there is none, there are several, or there is one of another format alone.
    """
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        raise UnusableFile(
            f"the registry folder {folder} cannot be listed ({error.strerror}); name a folder that "
            "can be read",
            "file_unreadable",
        ) from None
    here = [path for path in paths if path.name.lower().startswith(f"{name}.")]
    found = [path for path in here if path.name.lower() in [name + ending for ending in READ]]
    if len(found) > 1:
        raise UnusableFile(
            f"{folder} holds both {found[0].name} and {found[1].name}; keep the one that counts",
            "table_twice",
        )
    if found:
        return found[0]
    if here:
        raise UnusableFile(f"{folder} holds {how_to_read(here[0], name)}", "table_absent")
    hint = (
        "a table with a header only will do where none are known"
        if name in ("relapses", "treatments")
        else "the table is required"
    )
    raise UnusableFile(
        f"{folder} holds neither {name}.csv nor {name}.parquet; add the file ({hint})",
        "table_absent",
    )


def how_to_read(path: Path, stem: str | None = None) -> str:
    """Say what a file is that is not read, and how its table can be read.

    Args:
        path: of the file.
        stem: what the table must be called; the file's own name where not given.

    >>> how_to_read(Path("visits.TSV"))[:42]
    'visits.TSV, a text file; copy it to visits'
    """
    stem = stem or path.name.split(".")[0]
    csv, parquet = f"{stem}.csv", f"{stem}.parquet"
    said = _OTHERS.get(
        path.suffix.lower(), "which is neither .csv nor .parquet; save the table as {csv}, UTF-8"
    )
    return f"{path.name}, {said.format(path=path.name, csv=csv, parquet=parquet)}"
