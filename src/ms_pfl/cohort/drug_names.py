"""The form in which names of drugs are compared."""

from __future__ import annotations

import re

from ms_pfl.names import normal

# ß stands for beta where a keyboard has no Greek letters; neither it nor β survives casefold well.
_BETA = str.maketrans({"β": " beta ", "ϐ": " beta ", "Β": " beta ", "ß": " beta ", "ẞ": " beta "})


def normalize(text: str) -> str:
    """Lower case, words of letters or of digits, one space between them; beta in Latin letters.

    >>> normalize("  IFN-β-1a (REBIF44) ")
    'ifn beta 1 a rebif 44'
    """
    return " ".join(re.findall(r"[^\W\d_]+|\d+", normal(text).translate(_BETA).casefold()))


def closed_up(name: str) -> str:
    """A name as it is compared, without the spaces that registries set and leave out.

    >>> closed_up("Dimethyl fumarate")
    'dimethylfumarate'
    """
    return normalize(name).replace(" ", "")
