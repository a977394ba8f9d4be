"""Which patient an id names: everywhere the same one, or one in each country or clinic."""

import pandas as pd

from ms_pfl.names import folded
from ms_pfl.registry.contract import CONTRACT
from ms_pfl.registry.ingest.cells import by_distinct
from ms_pfl.registry.ingest.parameters import PatientIds
from ms_pfl.registry.ingest.refusals import Origin, first_row
from ms_pfl.registry.ingest.report import IngestReport

_UNITS = {"by_country": "country", "by_clinic": "clinic_code"}
_NUMBER = r"\d+(?:\.0+)?"


def as_numbers(ids: pd.Series) -> pd.Series:
    """Ids of digits alone without leading zeros and ``.0``; others stay as they are.

    >>> as_numbers(pd.Series(["007", "7.0", "A07", "000"])).tolist()
    ['7', '7', 'A07', '0']
    """
    return by_distinct(ids, _without_zeros)


def _without_zeros(texts: pd.Series) -> pd.Series:
    digits = texts.str.replace(r"\.0+$", "", regex=True).str.lstrip("0")
    return texts.mask(texts.str.fullmatch(_NUMBER), digits.mask(digits == "", "0"))


class PatientNames:
    """Ids of all tables under names that are unique; the patients table comes first."""

    def __init__(self, kind: PatientIds = "as_written") -> None:
        """Start without patients; `kind` as ``ingest.patient_ids`` has it."""
        self.kind = kind
        self.unit = _UNITS.get(kind)
        self._label = ""
        self._people = pd.DataFrame(columns=["id", "name", "country", "unit"])

    def resolve(
        self, name: str, table: pd.DataFrame, origin: Origin, report: IngestReport
    ) -> pd.DataFrame:
        """Give each row the name of its patient, and refuse rows of nobody in particular.

        Args:
            name: patients, visits, relapses or treatments.
            table: columns of the contract, and of :data:`.contract.COMPANIONS` those there are.
            origin: for messages.
            report: takes note of rows that cannot be attributed, or contradict the patients table.

        Returns:
            The columns of the contract; PATIENT_ID is unique to a person, ``1 (Spain)`` where ids
            are unique within countries.
        """
        ids = table["PATIENT_ID"]
        if self.kind == "as_numbers":
            ids = as_numbers(ids)
        if name == "patients":
            ids = self._learn(ids, table, origin, report)
        elif "patients" not in report.unusable:
            if self.unit is not None:
                unit = table.get(self.unit, pd.Series(None, index=table.index, dtype="str"))
                ids = self._attribute(ids, unit, origin, report)
            elif "country" in table:
                self._refuse_other_countries(ids, table["country"], origin, report)
            if name == "visits" and "clinic_code" in table and self.unit != "clinic_code":
                _refuse_two_clinics_a_day(ids, table, origin, report)
        table = table[[column.name for column in CONTRACT[name]]]
        return table if self.kind == "as_written" else table.assign(PATIENT_ID=ids)

    def _learn(
        self, ids: pd.Series, table: pd.DataFrame, origin: Origin, report: IngestReport
    ) -> pd.Series:
        self._label = origin.label
        if self.kind == "as_numbers":
            _refuse_two_spellings(ids, table, origin, report)
        named = ids
        if self.unit is not None:
            unit = table[self.unit]
            if unit.isna().all() and len(unit):
                report.refuse_table(
                    "column_absent",
                    f"{origin.label} names no {self.unit}, which ingest.patient_ids: {self.kind} "
                    f"needs; add the column {self.unit} to all four tables",
                    "patients",
                    self.unit,
                )
                return ids
            report.refuse(
                unit.isna(),
                unit,
                origin,
                f"is empty, and ids are unique {self.kind.replace('_', ' ')} alone",
                "fill it in",
                "value_absent",
            )
            named = _within(ids, unit)
        people = {
            "id": ids,
            "name": named,
            "country": table["country"],
            "unit": table[self.unit or "country"],
        }
        self._people = pd.DataFrame(people).dropna().drop_duplicates()
        return named

    def _attribute(
        self, ids: pd.Series, unit: pd.Series, origin: Origin, report: IngestReport
    ) -> pd.Series:
        """Return the name that id and unit make; without a unit that of the one patient who has the
        id."""
        by_id = self._people.drop_duplicates("name").groupby("id")
        only = by_id["name"].first()[by_id.size() == 1]
        nobody = unit.isna() & ids.isin(self._people["id"]) & ~ids.isin(only.index)
        if nobody.any():
            which = self._people.loc[self._people["id"] == ids[first_row(nobody)], "unit"].unique()
            shown = ", ".join(_short(unit) for unit in which[:4]) + (
                ", ..." if len(which) > 4 else ""
            )
            lacks = (
                f"the table has no column {self.unit}; add it"
                if unit.isna().all()
                else f"{self.unit} is empty; fill it in"
            )
            report.refuse(
                nobody,
                ids,
                origin,
                f"names {len(which)} patients, of {shown}, and {lacks}",
                "or make the ids unique in the export of all tables",
                "patient_in_doubt",
            )
        named = _within(ids, unit).fillna(ids.map(only).astype("str")).fillna(ids)
        return named.mask(nobody)  # so that nobody is called unknown as well

    def _refuse_other_countries(
        self, ids: pd.Series, country: pd.Series, origin: Origin, report: IngestReport
    ) -> None:
        """Refuse rows that name a country other than the one of their patient."""
        people = self._people.drop_duplicates(["id", "country"])
        homes = people.drop_duplicates("id", keep=False).set_index("id")["country"]
        home = ids.map(homes)
        differs = home.notna() & country.notna() & (home != country)
        differs[differs] = home[differs].map(folded) != country[differs].map(folded)
        if differs.any():
            row = first_row(differs)
            report.refuse(
                differs,
                country,
                origin,
                f"is not the country of patient {_short(ids[row])} in {self._label}, "
                f"{_short(home[row])}",
                "if ids restart in each country, the patients table needs a row for each person "
                "and the setting ingest.patient_ids: by_country; if the patient moved, leave the "
                f"column out: ingest.columns.{origin.table}: {{country: null}}",
                "other_country",
            )


def _refuse_two_clinics_a_day(
    ids: pd.Series, table: pd.DataFrame, origin: Origin, report: IngestReport
) -> None:
    """Refuse visits of one patient at several clinics on one day."""
    known = pd.DataFrame(
        {"id": ids, "day": table["DATE_OF_VISIT"], "clinic_code": table["clinic_code"]}
    ).dropna()
    first = known.groupby(["id", "day"])["clinic_code"].transform("first")
    second = first != known["clinic_code"]
    if second.any():
        row = first_row(second)
        report.refuse(
            second,
            known["clinic_code"],
            origin,
            f"is the second clinic of patient {_short(ids[row])} on one day, after "
            f"{_short(first[row])}",
            "if ids restart in each clinic, the patients table needs a row for each person and "
            "the setting ingest.patient_ids: by_clinic; else correct the clinic or the day",
            "two_clinics",
        )


def _refuse_two_spellings(
    ids: pd.Series, table: pd.DataFrame, origin: Origin, report: IngestReport
) -> None:
    """Refuse patients who differ from an earlier one in the spelling of the id alone."""
    same = table.assign(PATIENT_ID=ids).duplicated() & ~table.duplicated() & ids.notna()
    if same.any():
        written = table["PATIENT_ID"]
        first = written[ids == ids[first_row(same)]].iloc[0]
        report.refuse(
            same,
            written,
            origin,
            f"is the same number as {_short(first)} in another row, and ingest.patient_ids: "
            "as_numbers makes one patient of both",
            "if they are one patient keep one of the rows; if they are two write ids of different "
            "numbers in all tables, or set ingest.patient_ids: as_written where the ids of all "
            "tables are spelled alike",
            "patient_twice",
        )


def _within(ids: pd.Series, unit: pd.Series) -> pd.Series:
    return ids + " (" + unit + ")"


def _short(text: str) -> str:
    return repr(text[:40])
