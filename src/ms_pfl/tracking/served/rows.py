"""The rows that a served model is given."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ms_pfl.errors import InputError
from ms_pfl.names import normal_cells


def read_rows(given: pd.DataFrame, features: Sequence[str]) -> tuple[pd.Series, np.ndarray]:
    """Return the country of each row, and its features, float32 of shape (rows, features).

    Args:
        given: ``country`` and every feature; NaN = missing.
        features: in the order of the model.

    Raises:
        InputError: a column is missing.
    """
    missing = [name for name in ("country", *features) if name not in given]
    if missing:
        raise InputError(f"column {missing[0]!r} is missing; this model needs it")
    x = given[list(features)].to_numpy(dtype=np.float32, na_value=np.nan)
    return normal_cells(given["country"].astype("str")), x
