"""Pandera models of the episodes, outcomes and splits tables: the catalog's validators."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing.pandas import Series

from ms_pfl.cohort.custom.episodes import read_episodes
from ms_pfl.cohort.outcomes import ASSOCIATIONS
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


class Outcomes(pa.DataFrameModel):
    """One row is an episode with its label under both outcomes; nothing of it is a feature.

    The dates and the relapse association are those of the chosen outcome, which `label` is of.
    """

    episode_id: Series[str] = pa.Field(unique=True)
    patient_id: Series[str]
    country: Series[str]
    t0: Series[pa.DateTime]
    baseline_edss: Series[np.float64] = pa.Field(ge=0, le=10)
    label: Series[np.int8] = pa.Field(isin=(0, 1))
    state_near_two_years: Series[np.float64] = pa.Field(isin=(0, 1), nullable=True)
    first_confirmed_event: Series[np.float64] = pa.Field(isin=(0, 1), nullable=True)
    worsening_date: Series[pa.DateTime] = pa.Field(nullable=True)
    confirmation_date: Series[pa.DateTime] = pa.Field(nullable=True)
    relapse_association: Series[str] = pa.Field(isin=ASSOCIATIONS, nullable=True)

    class Config:  # noqa: D106 - pandera's options
        strict = True

    @pa.dataframe_check
    @classmethod
    def _a_worsening_has_its_dates_and_nothing_else_has(cls, frame: pd.DataFrame) -> pd.Series:
        worse = frame["label"] == 1
        dated = frame["worsening_date"].notna() & frame["confirmation_date"].notna()
        bare = frame["worsening_date"].isna() & frame["relapse_association"].isna()
        later = (frame["worsening_date"] > frame["t0"]) & (
            frame["confirmation_date"] > frame["worsening_date"]
        )
        return (worse & dated & later) | (~worse & bare)


class Splits(pa.DataFrameModel):
    """One row is a patient and a seed, or an episode (``training.protocol.split_unit``)."""

    patient_id: Series[str] = pa.Field(coerce=True)
    episode_id: Series[str] | None = pa.Field(coerce=True)
    country: Series[str] = pa.Field(coerce=True)
    seed: Series[np.int64] = pa.Field(coerce=True)
    split: Series[str] = pa.Field(isin=SPLITS, coerce=True)

    @pa.dataframe_check(error="a patient (or episode) has two rows in a seed")
    def one_split_a_seed(cls, splits: pd.DataFrame) -> pd.Series[bool]:
        """Nobody is in two splits at once."""
        keys = ["country", "patient_id", "episode_id", "seed"]
        return ~splits.duplicated([key for key in keys if key in splits])

    class Config:  # noqa: D106 - pandera's options
        strict = True
