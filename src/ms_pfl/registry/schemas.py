"""Pandera schemas of the four canonical registry tables: the catalog's validators.

They hold for tables that :mod:`ms_pfl.registry.ingest.tables` has read: every column of the
contract is there, optional values may be missing. What needs two tables (a visit of an
unknown patient) is checked where the tables are read, with the line of the file in the message.
"""

import numpy as np
import pandas as pd
import pandera.pandas as pa

from ms_pfl.registry.contract import CONTRACT, EDSS_SCALE, Column

_DAY = np.dtype("datetime64[us]")


def _microseconds(frame: pd.DataFrame) -> pd.DataFrame:
    """Dates of a table as datetime64[us]; the frame itself where they are so already.

    Pandera takes any unit for datetime64[us], and coerces to nanoseconds.
    """
    other = {
        name: "datetime64[us]"
        for name, dtype in frame.dtypes.items()
        if pd.api.types.is_datetime64_dtype(dtype) and dtype != _DAY
    }
    return frame.astype(other) if other else frame


def _ends_after_start(treatments: pd.DataFrame) -> pd.Series:
    return ~(treatments["END_DATE"] < treatments["START_DATE"])


def _column(column: Column, *, unique: bool) -> pa.Column:
    """Return what the contract says of a column: its dtype, and which values are believed."""
    dtype = {"text": str, "code": str, "date": pa.DateTime}.get(column.kind, np.float64)
    checks = {
        "text": [],
        "code": [pa.Check.isin(column.canonical)],
        "date": [pa.Check.ge(pd.Timestamp(column.earliest_year, 1, 1))],
        "number": [pa.Check.ge(column.low), pa.Check.le(column.high)],
        "edss": [pa.Check.isin(EDSS_SCALE)],
        "flag": [pa.Check.isin((0.0, 1.0))],
    }[column.kind]
    numeric = dtype is np.float64
    return pa.Column(dtype, checks, nullable=not column.required, unique=unique, coerce=numeric)


def _schema(name: str, *checks: pa.Check, unique: str = "") -> pa.DataFrameSchema:
    columns = {
        column.name: _column(column, unique=column.name == unique) for column in CONTRACT[name]
    }
    parser = pa.Parser(_microseconds)
    return pa.DataFrameSchema(columns, list(checks), parser, strict=True, name=name.capitalize())


#: One row is a person.
Patients = _schema("patients", unique="PATIENT_ID")
#: One row is a visit, with an EDSS score or without; several on one day may stand.
Visits = _schema("visits")
#: One row is the onset of a relapse; the table may be empty.
Relapses = _schema("relapses")
#: One row is a course of a treatment; no END_DATE = ongoing; the table may be empty.
Treatments = _schema(
    "treatments", pa.Check(_ends_after_start, error="END_DATE lies before START_DATE")
)
