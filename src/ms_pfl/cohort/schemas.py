"""The episodes, outcomes and splits tables: pandera models, which are the catalog's validators.

An custom episodes table is brought to the dtypes of the model, or refused in one line.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
from pandera.typing.pandas import Series

from ms_pfl.cohort.custom.cells import as_float32, first_of
from ms_pfl.cohort.outcomes import ASSOCIATIONS
from ms_pfl.cohort.splits import SPLITS
from ms_pfl.errors import InputError
from ms_pfl.registry.contract import EARLIEST_PERSON_YEAR, Column
from ms_pfl.registry.ingest.columns import read_column
from ms_pfl.registry.ingest.refusals import Origin, refuse

_REQUIRED = {
    name: Column(name, "flag" if name == "label" else "text", required=True)
    for name in ("episode_id", "patient_id", "country", "label")
}
_T0 = Column("t0", "date", earliest_year=EARLIEST_PERSON_YEAR)
_ORIGIN = Origin("episodes table", "row", 1)


def read_episodes(frame: pd.DataFrame) -> pd.DataFrame:
    """Bring an episodes table to its dtypes.

    Args:
        frame: episode_id, patient_id, country, label (0/1), t0 where there is one (dates, also as
            text YYYY-MM-DD or of a time zone at midnight), and at least one feature (number).

    Returns:
        The same rows and columns: ids str, label int8, t0 datetime64[us], features float32. The
        index is that of `frame`.

    Raises:
        InputError: a column is missing, or a value is not what its column holds; the message
            names the row (counted from 1), the column, the value and the remedy.
    """
    columns = [str(name) for name in frame.columns]
    for name in _REQUIRED:
        if name not in columns:
            raise InputError(
                f"{_ORIGIN.label} has no column {name}; it has {first_of(columns) or 'none'}: "
                "rename or add what is missing"
            )
    for name in columns:
        if columns.count(name) > 1:
            raise InputError(f"{_ORIGIN.label} has two columns named {name}; keep one of them")
    features = [name for name in columns if name not in (*_REQUIRED, "t0")]
    if not features:
        raise InputError(
            f"{_ORIGIN.label} has no feature beside {', '.join(columns)}; "
            "add the numbers to predict from, a column each"
        )
    if frame.empty:
        raise InputError(f"{_ORIGIN.label} holds no row; at least one episode is needed")
    frame = frame.set_axis(columns, axis=1)
    rows = frame.reset_index(drop=True)
    read = {
        name: read_column(rows[name], column, rows.index, _ORIGIN)
        for name, column in _REQUIRED.items()
    }
    read["label"] = read["label"].astype(np.int8)
    repeated = read["episode_id"].duplicated()
    remedy = "remove a row that repeats another, or give each episode an id of its own"
    refuse(repeated, read["episode_id"], _ORIGIN, "stands in an earlier row already", remedy)
    if "t0" in columns:
        read["t0"] = _read_t0(rows["t0"])
    read |= {name: _read_feature(rows[name]) for name in features}
    changed = {
        name: values.set_axis(frame.index)
        for name, values in read.items()
        if values.dtype != frame[name].dtype or not values.equals(rows[name])
    }
    return frame.assign(**changed) if changed else frame


def _read_t0(raw: pd.Series) -> pd.Series:
    """Dates as datetime64[us]; a time of day is kept where it has no time zone."""
    if pd.api.types.is_datetime64_dtype(raw):
        return raw.astype("datetime64[us]")
    return read_column(raw, _T0, raw.index, _ORIGIN)


def _read_feature(raw: pd.Series) -> pd.Series:
    """Numbers as float32, NaN = missing."""
    number = raw
    if not pd.api.types.is_numeric_dtype(raw):
        blank = raw.isna() | (raw.astype("str").str.strip() == "")
        number = pd.to_numeric(raw.astype("object"), errors="coerce")
        refuse(
            number.isna() & ~blank,
            raw.astype("str"),
            _ORIGIN,
            "is no number",
            "encode the column in numbers or leave it out",
        )
    return as_float32(number, raw, _ORIGIN)


class Episodes(pa.DataFrameModel):
    """One row is an episode; all columns beyond the ids and the label are features (float32).

    t0 may be absent or missing in a custom table; the features are free in name and number.
    What a custom table gets wrong is an InputError of :func:`read_episodes`.
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
