"""Pandera models of the episodes and splits tables: the catalog's validators."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing.pandas import Series

from ms_pfl.cohort.own_episodes import read_episodes
from ms_pfl.cohort.splits import SPLITS


class Episodes(pa.DataFrameModel):
    """One row is an episode; all columns beyond the ids and the label are features (float32).

    t0 may be absent or missing in a table of one's own; the features are free in name and number.
    What a table of one's own gets wrong is an InputError of :func:`read_episodes`.
    """

    episode_id: Series[str] = pa.Field(unique=True, coerce=True)
    patient_id: Series[str] = pa.Field(coerce=True)
    country: Series[str] = pa.Field(coerce=True)
    t0: Series[pa.DateTime] | None = pa.Field(nullable=True)
    label: Series[np.int8] = pa.Field(isin=(0, 1), coerce=True)

    @pa.dataframe_parser
    @classmethod
    def _readable_before_it_is_cast(cls, frame: pd.DataFrame) -> pd.DataFrame:
        # Ahead of pandera's own casts, which would read a label of 0.5 as 0.
        return read_episodes(frame)


class Splits(pa.DataFrameModel):
    """One row is a patient in the split of a seed."""

    patient_id: Series[str] = pa.Field(coerce=True)
    country: Series[str] = pa.Field(coerce=True)
    seed: Series[np.int64] = pa.Field(coerce=True)
    split: Series[str] = pa.Field(isin=SPLITS, coerce=True)

    class Config:  # noqa: D106 - pandera's options
        strict = True
        unique = ["country", "patient_id", "seed"]  # noqa: RUF012 - read so by pandera
