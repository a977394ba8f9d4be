"""Pandera model of the predictions for new patients: the catalog's validator."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing.pandas import Series

_RISKS = ["risk", "risk_low", "risk_high"]


class NewPatients(pa.DataFrameModel):
    """One row is a patient: a risk and what it stands on, or the reason why there is none."""

    patient_id: Series[str] = pa.Field(unique=True)
    country: Series[str]
    visit_date: Series[pa.DateTime] = pa.Field(nullable=True)
    model: Series[str]
    risk: Series[np.float64] = pa.Field(ge=0, le=1, nullable=True)
    risk_low: Series[np.float64] = pa.Field(ge=0, le=1, nullable=True)
    risk_high: Series[np.float64] = pa.Field(ge=0, le=1, nullable=True)
    n_seeds: Series[np.int64] = pa.Field(ge=0)
    drivers: Series[str]
    not_scored_because: Series[str]

    class Config:  # noqa: D106 - pandera's options
        strict = True
        ordered = True

    @pa.dataframe_check(error="a patient has both a risk and a reason for none, or neither")
    def a_risk_or_a_reason(cls, table: pd.DataFrame) -> pd.Series[bool]:
        """Who is scored has all of a risk, and who is not has nothing of it."""
        scored = table["not_scored_because"] == ""
        whole = table[_RISKS].notna().all(axis=1) & (table["n_seeds"] > 0) & (table["model"] != "")
        none = table[_RISKS].isna().all(axis=1) & (table["n_seeds"] == 0) & (table["model"] == "")
        return scored.where(~scored, whole) | (~scored & none)

    @pa.dataframe_check(error="the risk is outside its range over seeds")
    def risk_in_its_range(cls, table: pd.DataFrame) -> pd.Series[bool]:
        """The mean of the seeds lies between the lowest and the highest."""
        low, high = table["risk_low"] <= table["risk"], table["risk"] <= table["risk_high"]
        return (low & high) | table["risk"].isna()
