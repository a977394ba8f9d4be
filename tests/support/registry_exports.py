"""A small registry, and files in which other programs would export it."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyreadstat

from ingest_examples import cohort_parameters
from ms_pfl.cohort.episodes import build_episodes
from ms_pfl.registry.contract import CONTRACT
from ms_pfl.registry.ingest.tables import RegistryTables

Rows = list[list[str]]
PEOPLE = ("P1", "P2", "P3", "P4")


def clean() -> dict[str, Rows]:
    """Four people with visits each half year and a rise in EDSS that lasts, or does not."""
    visits: Rows = [["PATIENT_ID", "DATE_OF_VISIT", "EDSS", "KFS_1", "MSCOURSE_AT_VISIT"]]
    for number, person in enumerate(PEOPLE):
        for half in range(14):
            score = 2.0 + (1.5 if half > 5 + number else 0.0) * (half % 5 != 0 or number < 2)
            day = f"{2000 + half // 2}-{1 + 6 * (half % 2):02d}-{10 + number}"
            visits.append([person, day, f"{score:.1f}", str(half % 3), "RR"])
    return {
        "patients": [
            ["PATIENT_ID", "country", "BIRTH_DATE", "gender", "MS_ONSET_DATE", "EDUCATION"],
            *(
                [person, "Italy", f"196{n}-02-03", "F", f"199{n}-05-06", "3"]
                for n, person in enumerate(PEOPLE)
            ),
        ],
        "visits": visits,
        "relapses": [["PATIENT_ID", "DATE_OF_ONSET", "severity"], ["P1", "2003-01-02", "severe"],
                     ["P3", "2002-07-01", ""]],
        "treatments": [["PATIENT_ID", "dmt", "START_DATE", "END_DATE"],
                       ["P1", "Avonex", "2001-01-01", "2002-01-01"],
                       ["P2", "Tysabri 300 mg, iv", "2003-01-01", ""]],
    }  # fmt: skip


def labels(tables: RegistryTables) -> pd.Series:
    """The label of each labelled anchor."""
    episodes = build_episodes(tables, cohort_parameters()).episodes
    return episodes.set_index(["patient_id", "t0"])["label"].sort_index()


#: Another name of each column, as an export in another language may have it.
OTHER_NAMES = {
    "PATIENT_ID": "Pat-Nr.", "country": "Land", "BIRTH_DATE": "Geburt", "gender": "Geschlecht",
    "MS_ONSET_DATE": "Début", "EDUCATION": "Schuljahre", "DATE_OF_VISIT": "Datum", "EDSS": "Wert",
    "KFS_1": "Pyramidal", "MSCOURSE_AT_VISIT": "Verlauf", "DATE_OF_ONSET": "Beginn",
    "severity": "Schwere", "dmt": "Präparat", "START_DATE": "von", "END_DATE": "bis",
}  # fmt: skip
KINDS = (".csv", ".txt", ".tsv", ".xlsx", ".parquet", ".sav", ".dta", ".xpt")
TEXT_KINDS = (".csv", ".txt", ".tsv")


@dataclass(frozen=True)
class Export:
    """How a program writes the tables.

    Attributes:
        kind: ending of the files.
        encoding: of text files.
        separator: of text files.
        date_format: of dates; None: typed dates where the kind of file has some.
        missing: word for a missing value.
        other_names: whether columns are called otherwise.
        country: of all patients; written with letters of the encoding.
    """

    kind: str = ".csv"
    encoding: str = "utf-8"
    separator: str = ","
    date_format: str | None = "%Y-%m-%d"
    missing: str = ""
    other_names: bool = False
    country: str = "Österreich"

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of ``ingest`` that read it."""
        found: dict[str, Any] = {}
        if self.kind in TEXT_KINDS and self.encoding in ("cp1252", "utf-16-le"):
            found["encoding"] = self.encoding
        if self.missing:
            found["missing"] = [self.missing]
        if self.date_format not in (None, "%Y-%m-%d"):
            found["date_format"] = self.date_format
        if self.other_names:
            found["columns"] = {
                name: {self.name(column): column for column in rows[0]}
                for name, rows in clean().items()
            }
        return found

    def name(self, column: str) -> str:
        """What a column is called in the file."""
        if not self.other_names:
            return column
        # Stata and SAS allow letters and digits alone, SAS eight of them.
        name = OTHER_NAMES[column]
        if self.kind in (".sav", ".dta", ".xpt"):
            name = "".join(letter for letter in name if letter.isascii() and letter.isalnum())[:8]
        return name

    def write(self, folder: Path) -> None:
        """Write the four tables."""
        for table, rows in clean().items():
            self._write(folder / f"{table}{self.kind}", table, rows)

    def _write(self, path: Path, table: str, rows: Rows) -> None:
        kinds = {column.name: column.kind for column in CONTRACT[table]}
        header = [self.name(column) for column in rows[0]]
        frame = pd.DataFrame(
            {
                name: [self._cell(row[i], kinds[column], column) for row in rows[1:]]
                for i, (name, column) in enumerate(zip(header, rows[0], strict=True))
            },
            dtype=object,
        )
        if self.kind in TEXT_KINDS:
            text = frame.to_csv(index=False, sep=self.separator, lineterminator="\r\n")
            path.write_bytes(text.encode(self.encoding))
        elif self.kind == ".xlsx":
            frame.to_excel(path, index=False)
        elif self.kind == ".parquet":
            frame.apply(_typed).to_parquet(path)
        else:
            write = {".sav": pyreadstat.write_sav, ".dta": pyreadstat.write_dta,
                     ".xpt": pyreadstat.write_xport}[self.kind]  # fmt: skip
            write(frame.apply(_typed), str(path))

    def _cell(self, cell: str, kind: str, column: str) -> Any:
        if cell == "" and (self.missing or self.kind in TEXT_KINDS):
            return self.missing
        if cell == "":
            return None
        if column == "country":
            return self.country
        if kind == "date":
            day = datetime.date.fromisoformat(cell)
            if self.date_format is not None:
                return day.strftime(self.date_format)
            return day if self.kind not in TEXT_KINDS else cell
        if kind in ("number", "edss"):
            if self.kind in TEXT_KINDS:
                return cell.replace(".", ",") if self.separator != "," else cell
            return cell if self.missing else float(cell)
        return cell


def _typed(cells: pd.Series) -> pd.Series:
    """A column of one type, as files of statistics programs have them."""
    held = cells.dropna()
    if len(held) and held.map(lambda cell: isinstance(cell, float)).all():
        return cells.astype("float64")
    if len(held) and held.map(lambda cell: isinstance(cell, datetime.date)).all():
        return cells
    return cells.fillna("").astype("str")
