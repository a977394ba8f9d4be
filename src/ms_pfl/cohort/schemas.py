"""Pandera models of the episodes and splits tables: the catalog's validators."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing.pandas import Series

from ms_pfl.cohort.splits import SPLITS
from ms_pfl.registry.schemas import microseconds

_IDS = {"episode_id", "patient_id", "country", "t0", "label"}


class Episodes(pa.DataFrameModel):
    """One row is an episode; all columns beyond the ids and the label are features (float32).

    t0 may be absent or missing in a table of one's own; the features are free in name and number.
    """

    episode_id: Series[str] = pa.Field(unique=True, coerce=True)
    patient_id: Series[str] = pa.Field(coerce=True)
    country: Series[str] = pa.Field(coerce=True)
    t0: Series[pa.DateTime] | None = pa.Field(nullable=True)
    label: Series[np.int8] = pa.Field(isin=(0, 1), coerce=True)

    @pa.dataframe_parser
    @classmethod
    def _features_as_float32(cls, frame: pd.DataFrame) -> pd.DataFrame:
        frame = microseconds(frame)
        wide = {
            name: np.float32
            for name, dtype in frame.dtypes.items()
            if name not in _IDS and dtype != np.float32 and pd.api.types.is_numeric_dtype(dtype)
        }
        return frame.astype(wide) if wide else frame

    @pa.dataframe_check(error="a feature is not numeric")
    @classmethod
    def _features_numeric(cls, frame: pd.DataFrame) -> bool:
        return bool((_features(frame).dtypes == np.float32).all())

    @pa.dataframe_check(error="there is no feature column")
    @classmethod
    def _some_feature(cls, frame: pd.DataFrame) -> bool:
        return _features(frame).shape[1] > 0

    @pa.dataframe_check(error="a feature is infinite")
    @classmethod
    def _features_finite(cls, frame: pd.DataFrame) -> bool:
        values = _features(frame).select_dtypes(np.float32).to_numpy()
        return not bool(np.isinf(values).any())


class Splits(pa.DataFrameModel):
    """One row is a patient in the split of a seed."""

    patient_id: Series[str] = pa.Field(coerce=True)
    country: Series[str] = pa.Field(coerce=True)
    seed: Series[np.int64] = pa.Field(coerce=True)
    split: Series[str] = pa.Field(isin=SPLITS, coerce=True)

    class Config:  # noqa: D106 - pandera's options
        strict = True
        unique = ["country", "patient_id", "seed"]  # noqa: RUF012 - read so by pandera


def _features(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[[name for name in frame.columns if name not in _IDS]]
