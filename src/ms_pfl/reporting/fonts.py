"""Fonts that hold the letters a figure draws: matplotlib's own, then what is installed."""

from __future__ import annotations

import logging
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_log = logging.getLogger(__name__)

# Debian's packages, by the first word of the characters' names in Unicode.
_PACKAGES = dict.fromkeys(
    ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "FULLWIDTH", "IDEOGRAPHIC"),
    "fonts-noto-cjk",
)
_OTHERS, _SYMBOLS = "fonts-noto-core", "fonts-symbola"


@contextmanager
def without_glyph_warnings() -> Iterator[None]:
    """Draw without matplotlib's own warning for each letter that no font has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def use_fitting_fonts(figure: Figure) -> None:
    """Give the texts of a figure the fonts that hold their letters.

    Matplotlib takes each letter from the first font of a list that has it. Where no installed font
    has one, an empty box is drawn, and a warning names a package to install, once per process.
    """
    from matplotlib.text import Text

    texts = figure.findobj(Text)
    letters = "".join(sorted({letter for text in texts for letter in text.get_text()}))
    families, missing = _fitting(letters)
    if missing:
        _warn_of(missing)
    if families:
        for text in texts:
            text.set_fontfamily(["sans-serif", *families])


@lru_cache(maxsize=256)
def _fitting(letters: str) -> tuple[tuple[str, ...], str]:
    """Return families that hold what the default lacks, and letters that no font has."""
    import matplotlib

    default = _charmap((str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), 0))
    # what is not printable, and a sign that chooses the form of another, is drawn by no font
    left = {c for c in letters if ord(c) not in default and c.isprintable()}
    left -= {c for c in left if unicodedata.name(c, "").startswith("VARIATION SELECTOR")}
    families: list[str] = []
    fonts = _installed() if left else {}
    while left and fonts:
        held = {
            name: {letter for letter in left if ord(letter) in _charmap(face)}
            for name, face in fonts.items()
        }
        # in a tie one without serifs, as the default is; then the first by name
        best = max(held, key=lambda name: (len(held[name]), "Serif" not in name))
        if not held[best]:
            break
        families.append(best)
        left -= held[best]
    return tuple(families), "".join(sorted(left))


@lru_cache(maxsize=1)
def _installed() -> dict[str, tuple[str, int]]:
    """Return file and index of the regular face of each installed family, sorted by name."""
    import matplotlib
    from matplotlib.font_manager import findSystemFonts, fontManager

    # matplotlib keeps its list from before a font was installed
    known = {font.fname for font in fontManager.ttflist}
    for path in sorted(set(findSystemFonts()) - known):
        with suppress(OSError, RuntimeError):  # a font that FreeType cannot read
            fontManager.addfont(path)
    own = matplotlib.get_data_path()  # fonts of mathematics, and one that draws boxes for all
    faces = sorted(
        (
            (font.name, font.style != "normal", abs(int(font.weight) - 400), font.fname, font.index)
            for font in fontManager.ttflist
            if isinstance(font.weight, int) and not font.fname.startswith(own)
        ),
    )
    found: dict[str, tuple[str, int]] = {}
    for name, _, _, path, index in faces:
        found.setdefault(name, (path, index))
    return found


@lru_cache(maxsize=1024)
def _charmap(face: tuple[str, int]) -> frozenset[int]:
    """Return the characters that a font can draw; none where it holds bitmaps."""
    from matplotlib.ft2font import FT2Font

    try:
        font = FT2Font(face[0], face_index=face[1])
    except (OSError, RuntimeError):
        return frozenset()
    return frozenset(font.get_charmap()) if font.scalable else frozenset()


@lru_cache(maxsize=64)
def _warn_of(missing: str) -> None:
    words = {letter: unicodedata.name(letter, "UNNAMED").split(" ")[0] for letter in missing}
    packages = sorted(
        {
            _PACKAGES.get(
                word, _SYMBOLS if unicodedata.category(letter).startswith("S") else _OTHERS
            )
            for letter, word in words.items()
        }
    )
    bases = [letter for letter in missing if unicodedata.category(letter)[0] != "M"] or missing
    shown = " ".join(bases[:10]) + (" ..." if len(bases) > 10 else "")
    _log.warning(
        "No installed font has %s; the figures show empty boxes there (install a font that has "
        "them, such as Debian's %s, and run the reporting again)", shown, " ".join(packages),
    )  # fmt: skip
