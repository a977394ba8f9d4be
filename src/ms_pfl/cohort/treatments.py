"""Which drug, of which efficacy class, a registry's free text on treatment names."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from ms_pfl.cohort.parameters import TreatmentClasses

_log = logging.getLogger(__name__)

#: Classes that are disease-modifying, in the order of their codes in :func:`classify`.
CLASSES: tuple[str, ...] = ("mild", "moderate", "high", "high_induction")

_NO_DMT = (-1, -1)


def normalize(text: str) -> str:
    """Lower case, words of letters and digits, one space between them.

    >>> normalize("  Interferon beta-1a (AVONEX) ")
    'interferon beta 1a avonex'
    """
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def classify(dmt: pd.Series, classes: TreatmentClasses) -> tuple[np.ndarray, np.ndarray]:
    """Drug and efficacy class of each text.

    A text is looked up as a whole first. Otherwise the names found in it as whole words count:
    if one is of the class `none` (placebo, a steroid) the text is no disease-modifying treatment;
    else the longest name wins.

    Args:
        dmt: texts as registries carry them, e.g. "Avonex 30 mcg weekly".
        classes: names by class.

    Returns:
        drug: int array, a code of the generic name (the same drug has the same code); -1 where
            the text names no disease-modifying treatment.
        efficacy: int array, index into :data:`CLASSES`; -1 likewise.

    A warning lists the texts in which no name was found.
    """
    drugs = [(efficacy, names) for efficacy in CLASSES for names in getattr(classes, efficacy)]
    known = {normalize(name): _NO_DMT for names in classes.none for name in names}
    for code, (efficacy, names) in enumerate(drugs):
        known.update({normalize(name): (code, CLASSES.index(efficacy)) for name in names})
    texts, inverse = np.unique(dmt.astype("str").to_numpy(dtype=object), return_inverse=True)
    found = [_look_up(normalize(text), known) for text in texts]
    unknown = [text for text, match in zip(texts, found, strict=True) if match is None]
    if unknown:
        _log.warning(
            "%d treatment names are in no class and count as no disease-modifying treatment "
            "(cohort.treatments in the parameters): %s%s",
            len(unknown),
            ", ".join(map(repr, unknown[:8])),
            ", ..." if len(unknown) > 8 else "",
        )
    codes = np.array([match or _NO_DMT for match in found], dtype=np.int64).reshape(-1, 2)
    return codes[inverse, 0], codes[inverse, 1]


def _look_up(text: str, known: dict[str, tuple[int, int]]) -> tuple[int, int] | None:
    if text in known:
        return known[text]
    padded = f" {text} "
    inside = [name for name in known if f" {name} " in padded]
    if not inside:
        return None
    if any(known[name] == _NO_DMT for name in inside):
        return _NO_DMT
    return known[max(inside, key=lambda name: (len(name), name))]
