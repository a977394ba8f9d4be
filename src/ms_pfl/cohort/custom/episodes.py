"""An episodes table of one's own: its columns in their dtypes, or a refusal in one line."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ms_pfl.cohort.custom.cells import as_float32, first_of
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
