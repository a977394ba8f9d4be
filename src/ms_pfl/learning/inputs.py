"""What rows become before a learner sees them, whichever way it was agreed on."""

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from ms_pfl.errors import InputError
from ms_pfl.learning.bins import Bins
from ms_pfl.learning.encoding import Encoding, Kind
from ms_pfl.learning.networks import Arrays
from ms_pfl.learning.scaler import Scaler

Inputs = Scaler | Encoding | Bins
_KINDS: tuple[type[Scaler] | type[Encoding] | type[Bins], ...] = (Scaler, Encoding, Bins)
_NONE = "the arrays of the inputs are neither a scaler nor an encoding nor bins"
TYPES = {
    **dict.fromkeys(("mean", "sd", "scores", "low", "high", "scale", "means"), "float64"),
    **dict.fromkeys(("edges", "cuts", "medians"), "float32"),
    **dict.fromkeys(("kind", "feature"), "int64"),
}
"""The type of each array."""


def saved_inputs(arrays: Arrays) -> Inputs:
    """Return the inputs that saved arrays describe, of as many features as they tell of.

    Raises:
        InputError: they describe none.
    """
    told = arrays.get("mean", arrays.get("edges", arrays.get("cuts")))
    if told is None or not told.ndim:
        raise InputError(_NONE)
    return inputs_of(arrays, len(told))


def inputs_of(arrays: Arrays, n_features: int) -> Inputs:
    """Return the inputs that some arrays describe.

    Args:
        arrays: of :meth:`Scaler.arrays`, :meth:`Encoding.arrays` or :meth:`Bins.arrays`.
        n_features: of the rows.

    Raises:
        InputError: they describe none of so many features.
    """
    for kind in _KINDS:
        if {field.name for field in fields(kind)} == set(arrays):
            found = kind(**arrays)
            wrong = [name for name, array in arrays.items() if array.dtype != TYPES[name]]
            if wrong:
                raise InputError(f"the array '{wrong[0]}' of the inputs is of another type")
            found.check(n_features)
            return found
    raise InputError(_NONE)


def columns_of(inputs: Inputs) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return of each column of prepared rows what it is made of.

    Returns:
        The position of its feature, and whether the column is the feature itself, scaled or as a
        normal score; each of shape ``(columns,)``.
    """
    if not isinstance(inputs, Encoding):
        return np.arange(inputs.width), np.ones(inputs.width, dtype=bool)
    return inputs.feature, np.isin(inputs.kind, (Kind.NORMAL_SCORE, Kind.STANDARDIZED))
