"""Names of sites, patients, levels and columns: one normal form, and which names look alike.

Every text that enters, from a table, a setting or a command line, is brought to its normal form, so
that two ways of storing one name are one name everywhere. File and folder names are not: they are
what the file system says.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# Characters that draw nothing and mean nothing in a name: soft hyphen, zero-width space, word
# joiner, byte order mark, and what moves a terminal's cursor. They are removed wherever they stand.
_NOTHING = "\u00ad\u200b\u2060\ufeff\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"
# Joiners and marks of direction decide how the letters beside them are drawn, so they stay inside
# a name. At its ends they draw nothing.
_AT_ENDS = _NOTHING + "\u061c\u180e\u200c-\u200f\u202a-\u202e\u2061-\u2064\u2066-\u206f"
_REMOVED = re.compile(f"[{_NOTHING}]")
_ENDS = re.compile(rf"^[\s{_AT_ENDS}]+|[\s{_AT_ENDS}]+$")
_BLANKS = re.compile(r"\s+")
# Beside these, names that look alike differ in what a reader takes for chance.
_INVISIBLE = re.compile(f"[{_AT_ENDS}\ufe00-\ufe0f]")
_ACCENTS = re.compile("[\u0300-\u036f]")
_SAME = str.maketrans(
    dict.fromkeys("‘’‚‛′`´ʼʹ", "'")
    | dict.fromkeys("“”„‟″«»", '"')
    | dict.fromkeys("‐‑‒–—―−⁃﹘﹣－", "-")
    | {"ı": "i", "ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ي": "ی", "ى": "ی", "ك": "ک"}
    # Cyrillic letters that are drawn as Latin ones
    | dict(zip("аеорсухіјѕ", "aeopcyxijs", strict=True))
)
_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d_])-(?=[^\W\d_])")


def normal(text: str) -> str:
    r"""Return a name in its normal form, in which it is stored, compared and shown.

    Letters are composed (Unicode NFC); each run of white space, such as a no-break space, a thin
    space, a tab or a line separator, is one blank; there is none at the ends. Characters that draw
    nothing are removed: soft hyphens, zero-width spaces, word joiners and byte order marks
    and control characters everywhere, joiners and marks of direction at the ends alone.

    >>> normal("\ufeffTu\u0308rkiye\u00a0 ")
    'Türkiye'
    """
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    text = _BLANKS.sub(" ", _ENDS.sub("", _REMOVED.sub("", text)))
    return unicodedata.normalize("NFC", text)


def what_differs(text: str) -> str:
    r"""Return in what a text is not in its normal form, for reports.

    >>> what_differs("Tu\u0308rkiye"), what_differs("A\u00a0B")
    ('letters composed', 'blanks')
    """
    kinds = [
        ("invisible characters", _REMOVED.sub("", text) != text),
        ("blanks", " ".join(text.split()) != text),
        ("letters composed", not unicodedata.is_normalized("NFC", text)),
    ]
    return " and ".join(name for name, differs in kinds if differs) or "invisible characters"


def folded(text: str) -> str:
    """Return a name without regard to case, as the maps of the parameters compare it.

    >>> folded("  Date  of Visit ")
    'date of visit'
    """
    return normal(normal(text).casefold())


def near(text: str) -> str:
    """Return what names have in common that a reader may take for one name.

    Case, blanks, hyphens between letters, accents of Latin, Greek and Cyrillic letters, the width
    and form of characters (Unicode NFKC), typographic quotation marks and dashes, Arabic and
    Persian forms of one letter, Cyrillic letters that are drawn as Latin ones, and all invisible
    characters are left out of account.

    >>> near("TÜRKIYE") == near("Turkiye"), near("Côte d’Ivoire") == near("cote d'ivoire")
    (True, True)
    """
    text = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text.translate(_SAME)))
    text = unicodedata.normalize("NFKD", text.casefold().translate(_SAME))
    text = "".join(_ACCENTS.sub("", text).translate(_SAME).split())
    return unicodedata.normalize("NFKC", _BETWEEN_LETTERS.sub("", text))


def near_names(name: str, names: Iterable[str]) -> list[str]:
    """Return which of ``names`` are near ``name`` without being it, sorted."""
    key = near(name)
    return sorted(other for other in set(names) if other != name and near(other) == key)


def groups_of_near(names: Iterable[str]) -> list[list[str]]:
    """Return the groups of two or more names that are near each other, sorted.

    >>> groups_of_near(["Ghent", "Oslo", "GHENT"])
    [['GHENT', 'Ghent']]
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        groups.setdefault(near(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def listed(names: Iterable[str]) -> str:
    """Return names for a sentence; those that hold a comma stand in quotes.

    >>> listed(["Norway", "Korea, Republic of"])
    'Norway, "Korea, Republic of"'
    """
    return ", ".join(f'"{name}"' if "," in name or ";" in name else name for name in names)


def normal_cells(cells: pd.Series) -> pd.Series:
    """Return cells of text (dtype str) in their normal form; missing ones stay missing."""
    stripped = cells.str.strip()
    odd = not_plain(stripped)
    if not odd.any():
        return stripped
    distinct = {text: normal(text) for text in stripped[odd].unique()}
    return stripped.mask(odd, stripped[odd].map(distinct).astype("str"))


def not_plain(cells: pd.Series) -> pd.Series:
    """Return which stripped cells may have another normal form (bool), by two quick looks.

    Those of printable ASCII with single blanks have none.
    """
    import pandas as pd
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.compute as pc  # type: ignore[import-untyped]

    text = pa.array(cells.array, type=pa.large_string())
    plain = pc.and_(pc.ascii_is_printable(text), pc.invert(pc.match_substring(text, "  ")))
    odd = pc.fill_null(pc.invert(plain), False).to_numpy(zero_copy_only=False)
    return pd.Series(odd, index=cells.index)
