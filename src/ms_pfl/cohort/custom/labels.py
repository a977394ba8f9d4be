"""The outcome of a custom table: which of its two labels counts as 1."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ms_pfl.cohort.custom.cells import text_cells
from ms_pfl.cohort.custom.parameters import OwnEpisodesParameters
from ms_pfl.errors import InputError
from ms_pfl.registry.ingest.refusals import Origin, quoted, refuse

_LABELS = {"0": 0, "1": 1, "FALSE": 0, "TRUE": 1}
#: Words that mean the same; two of one set are no two outcomes.
_MEANINGS = (
    frozenset({"1", "TRUE", "T", "YES", "Y"}),
    frozenset({"0", "FALSE", "F", "NO", "N"}),
)


def read_label(raw: pd.Series, origin: Origin, parameters: OwnEpisodesParameters) -> pd.Series:
    """Read the label as int8, 1 where the outcome occurred.

    Args:
        raw: cells as text or typed, indexed by row position; its name is the column's.
        origin: for messages.
        parameters: ``positive`` names the label that counts as 1, where they are not 0 and 1.

    Raises:
        InputError: the labels are not two, or nobody says which of them counts as 1.
    """
    text = text_cells(raw)
    refuse(text.isna(), raw, origin, "is empty", "fill it in or remove the row")
    found = sorted(text.unique())
    if parameters.positive is None:
        label = text.str.upper().map(_LABELS)
        refuse(label.isna(), raw, origin, "is neither 0 nor 1", _which_counts(found))
    else:
        # As the cells are read: 1.0 is the label 1.
        given = pd.Series([parameters.positive.strip()], dtype="str")
        positive = str(text_cells(given).fillna(given)[0])
        label = _by_positive(text, positive, found, raw, origin)
    if label.nunique() < 2:
        raise InputError(
            f"{origin.label}, column {raw.name}: every row holds {_listed(found)}; "
            "both outcomes are needed to learn from"
        )
    return label.astype(np.int8)


def _which_counts(found: list[str]) -> str:
    """How to say which label counts as 1."""
    if len(found) != 2:
        return f"the labels must be two values, and the column holds {_listed(found)}: correct it"
    one, other = (label[:40] for label in found)
    if _mean_the_same(one, other):
        return f"{one!r} and {other!r} mean the same: write them in one way"
    return (
        f"set own_episodes.positive to the label of those who had the outcome: {quoted(other)} "
        f"(then {one!r} counts as 0) or {quoted(one)} (then {other!r} counts as 0)"
    )


def _by_positive(
    text: pd.Series, positive: str, found: list[str], raw: pd.Series, origin: Origin
) -> pd.Series:
    if positive not in found:
        bare = {label.lstrip("0") or "0": label for label in found}
        remedy = (
            f"; put {quoted(bare[positive][:40])} in quotes, as YAML drops leading zeros"
            if positive in bare
            else ": name one of them"
        )
        raise InputError(
            f"{origin.label}, column {raw.name}: no row holds {positive!r}, which "
            f"own_episodes.positive names; the column holds {_listed(found)}{remedy}"
        )
    label = text.eq(positive).astype(np.int8)
    refuse(
        (label == 0) & (text.str.casefold() == positive.casefold()),
        raw,
        origin,
        f"differs from own_episodes.positive, {positive!r}, in capitals alone",
        "write labels that mean the same in one way",
    )
    same = {other for other in found if other != positive and _mean_the_same(other, positive)}
    refuse(
        text.isin(same),
        raw,
        origin,
        f"means the same as own_episodes.positive, {positive!r}",
        "write labels that mean the same in one way",
    )
    if len(found) > 2:
        second = text[label == 0].iloc[0]
        refuse(
            (label == 0) & text.ne(second),
            raw,
            origin,
            f"is a third label beside {positive!r} and {second!r}",
            "make the labels two values",
        )
    return label


def _mean_the_same(one: str, other: str) -> bool:
    return any({one.upper(), other.upper()} <= meaning for meaning in _MEANINGS)


def _listed(found: list[str]) -> str:
    shown = ", ".join(repr(value[:40]) for value in found[:5])
    return shown + (", ..." if len(found) > 5 else "")
