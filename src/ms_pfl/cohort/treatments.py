"""Which drug, of which efficacy class, a registry's free text on treatment names."""

import logging
from collections.abc import Collection
from importlib.resources import files
from itertools import accumulate

import numpy as np
import pandas as pd
import yaml

from ms_pfl.cohort.parameters import TreatmentClasses, closed_up, normalize
from ms_pfl.names import near

_log = logging.getLogger(__name__)

#: Classes that are disease-modifying, in the order of their codes in :func:`classify`.
CLASSES: tuple[str, ...] = ("mild", "moderate", "high", "high_induction")

#: Why a text names no drug that counts; keys of :data:`ms_pfl.registry.ingest.rules.RULES`.
UNKNOWN, BLINDED = "treatment_unknown", "treatment_blinded"
_LONGEST_SHOWN = 60

_NO_DMT = (-1, -1)


def package_classes() -> TreatmentClasses:
    """Return the drugs as the package has them, which no setting has changed."""
    text = files("ms_pfl.cohort").joinpath("drug_names.yml").read_text(encoding="utf-8")
    return TreatmentClasses.model_validate(yaml.safe_load(text))


def classify(dmt: pd.Series, classes: TreatmentClasses) -> tuple[np.ndarray, np.ndarray]:
    """Drug and efficacy class of each text.

    A text is looked up as a whole first. Otherwise the names found in it as whole words (one or
    several, closed up or not) count:

    1. with a name of the class `trial` (placebo, blinded) it is no disease-modifying treatment,
       and a warning lists it where it names one;
    2. else the longest disease-modifying name wins, whatever stands beside it;
    3. else a name of the class `none` (a steroid) makes it no disease-modifying treatment;
    4. else it is unknown: no disease-modifying treatment, and listed in a warning.

    Args:
        dmt: texts as registries carry them, e.g. "Avonex 30 mcg weekly".
        classes: names by class.

    Returns:
        drug: int array, a code of the generic name (the same drug has the same code); -1 where
            the text names no disease-modifying treatment.
        efficacy: int array, index into :data:`CLASSES`; -1 likewise.
    """
    texts, inverse, codes, why = _read(dmt, classes)
    _warn(texts[why == UNKNOWN], "are in no class", _names(classes, *type(classes).model_fields))
    _warn(texts[why == BLINDED], "name a drug beside a word of the class trial")
    return codes[inverse, 0], codes[inverse, 1]


def unread(dmt: pd.Series, classes: TreatmentClasses) -> pd.Series:
    """Of each text :data:`UNKNOWN`, :data:`BLINDED`, or missing where it is read as it says.

    Args:
        dmt: as for :func:`classify`.
        classes: names by class.
    """
    _, inverse, _, why = _read(dmt, classes)
    return pd.Series(why[inverse], index=dmt.index, dtype="str")


def _read(
    dmt: pd.Series, classes: TreatmentClasses
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Distinct texts, the text of each entry, and of each text its codes and why it has none."""
    trial = {closed_up(name) for name in _names(classes, "trial")}
    known = {closed_up(name): _NO_DMT for name in _names(classes, "none", "trial")}
    drugs = [(efficacy, names) for efficacy in CLASSES for names in getattr(classes, efficacy)]
    for code, (efficacy, names) in enumerate(drugs):
        known |= {closed_up(name): (code, CLASSES.index(efficacy)) for name in names}

    def look_up(text: str) -> tuple[tuple[int, int], str | None]:
        found = _names_in(normalize(text), known)
        drug_names = [name for name in found if known[name] != _NO_DMT]
        if not drug_names:
            return _NO_DMT, None if found else UNKNOWN
        if not trial.isdisjoint(found):
            return _NO_DMT, BLINDED
        return known[max(drug_names, key=lambda name: (len(name), name))], None

    texts, inverse = np.unique(dmt.astype("str").to_numpy(dtype=object), return_inverse=True)
    found = [look_up(text) for text in texts]
    codes = np.array([code for code, _ in found], dtype=np.int64).reshape(-1, 2)
    return texts, inverse, codes, np.array([why for _, why in found], dtype=object)


def _names_in(text: str, known: Collection[str]) -> set[str]:
    """Known names of which the text consists or which it holds, from one word edge to another."""
    words = text.split(" ")
    whole = "".join(words)
    if whole in known:
        return {whole}
    edges = {0, *accumulate(map(len, words))}
    lengths = {len(name) for name in known}
    held = {whole[i : i + n] for i in edges for n in lengths if i + n in edges}
    return held.intersection(known)


def _names(classes: TreatmentClasses, *own: str) -> list[str]:
    """Return the names in some of the classes."""
    return [name for field in own for drug in getattr(classes, field) for name in drug]


def _warn(texts: np.ndarray, what: str, names: Collection[str] = ()) -> None:
    by_key = {near(name): name for name in names}

    def shown(text: str) -> str:
        alike = by_key.get(near(text))
        short = text if len(text) <= _LONGEST_SHOWN else f"{text[: _LONGEST_SHOWN - 3]}..."
        return f"{short!r}" + (f" (looks like {alike!r})" if alike else "")

    if len(texts):
        _log.warning(
            "%d treatment names %s and count as no disease-modifying treatment "
            "(cohort.treatments in the parameters): %s%s",
            len(texts),
            what,
            ", ".join(map(shown, texts[:8])),
            ", ..." if len(texts) > 8 else "",
        )
