"""Pandera models of the four canonical registry tables: the catalog's validators.

They hold for tables that :mod:`ms_pfl.registry.ingest.tables` has read: every column of the
contract is there, optional values may be missing. What needs two tables (a visit of an
unknown patient) is checked where the tables are read, with the line of the file in the message.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing.pandas import Series

from ms_pfl.registry.contract import (
    COURSES,
    EARLIEST_PERSON_YEAR,
    EARLIEST_RECORD_YEAR,
    EDSS_SCALE,
    EDUCATION_LIMITS,
    SEXES,
)

_DAY = np.dtype("datetime64[us]")
_PERSON = pd.Timestamp(EARLIEST_PERSON_YEAR, 1, 1)
_RECORD = pd.Timestamp(EARLIEST_RECORD_YEAR, 1, 1)


def microseconds(frame: pd.DataFrame) -> pd.DataFrame:
    """Dates of a table as datetime64[us]; the frame itself where they are so already."""
    other = {
        name: "datetime64[us]"
        for name, dtype in frame.dtypes.items()
        if pd.api.types.is_datetime64_dtype(dtype) and dtype != _DAY
    }
    return frame.astype(other) if other else frame


class _Canonical(pa.DataFrameModel):
    @pa.dataframe_parser
    @classmethod
    def _dates_in_one_unit(cls, frame: pd.DataFrame) -> pd.DataFrame:
        # Pandera takes any unit for datetime64[us], and coerces to nanoseconds.
        return microseconds(frame)

    class Config:
        strict = True


class Patients(_Canonical):
    """One row is a person."""

    PATIENT_ID: Series[str] = pa.Field(unique=True)
    country: Series[str]
    BIRTH_DATE: Series[pa.DateTime] = pa.Field(nullable=True, ge=_PERSON)
    gender: Series[str] = pa.Field(nullable=True, isin=SEXES)
    clinic_code: Series[str] = pa.Field(nullable=True)
    MS_ONSET_DATE: Series[pa.DateTime] = pa.Field(nullable=True, ge=_PERSON)
    MS_DIAGNOSIS_DATE: Series[pa.DateTime] = pa.Field(nullable=True, ge=_PERSON)
    ONSET_SUPRATENTORIAL: Series[np.float64] = pa.Field(coerce=True, nullable=True, isin=(0.0, 1.0))
    ONSET_OPTIC: Series[np.float64] = pa.Field(coerce=True, nullable=True, isin=(0.0, 1.0))
    ONSET_BRAINSTEM: Series[np.float64] = pa.Field(coerce=True, nullable=True, isin=(0.0, 1.0))
    ONSET_SPINAL: Series[np.float64] = pa.Field(coerce=True, nullable=True, isin=(0.0, 1.0))
    EDUCATION: Series[np.float64] = pa.Field(
        coerce=True, nullable=True, ge=EDUCATION_LIMITS[0], le=EDUCATION_LIMITS[1]
    )


class Visits(_Canonical):
    """One row is a visit, with an EDSS score or without; several on one day may stand."""

    PATIENT_ID: Series[str]
    DATE_OF_VISIT: Series[pa.DateTime] = pa.Field(ge=_RECORD)
    EDSS: Series[np.float64] = pa.Field(coerce=True, nullable=True, isin=EDSS_SCALE)
    KFS_1: Series[np.float64] = pa.Field(coerce=True, nullable=True, ge=0, le=6)
    KFS_2: Series[np.float64] = pa.Field(coerce=True, nullable=True, ge=0, le=6)
    KFS_3: Series[np.float64] = pa.Field(coerce=True, nullable=True, ge=0, le=6)
    KFS_4: Series[np.float64] = pa.Field(coerce=True, nullable=True, ge=0, le=6)
    KFS_5: Series[np.float64] = pa.Field(coerce=True, nullable=True, ge=0, le=6)
    KFS_6: Series[np.float64] = pa.Field(coerce=True, nullable=True, ge=0, le=6)
    KFS_7: Series[np.float64] = pa.Field(coerce=True, nullable=True, ge=0, le=6)
    KFS_AMBULATION: Series[np.float64] = pa.Field(coerce=True, nullable=True, ge=0, le=16)
    MSCOURSE_AT_VISIT: Series[str] = pa.Field(nullable=True, isin=COURSES)


class Relapses(_Canonical):
    """One row is the onset of a relapse; the table may be empty."""

    PATIENT_ID: Series[str]
    DATE_OF_ONSET: Series[pa.DateTime] = pa.Field(ge=_RECORD)
    severity: Series[str] = pa.Field(nullable=True)


class Treatments(_Canonical):
    """One row is a course of a treatment; no END_DATE = ongoing; the table may be empty."""

    PATIENT_ID: Series[str]
    dmt: Series[str]
    START_DATE: Series[pa.DateTime] = pa.Field(ge=_RECORD)
    END_DATE: Series[pa.DateTime] = pa.Field(nullable=True, ge=_RECORD)

    @pa.dataframe_check(error="END_DATE lies before START_DATE")
    @classmethod
    def _ends_after_start(cls, frame: pd.DataFrame) -> pd.Series:
        return ~(frame["END_DATE"] < frame["START_DATE"])
