"""Cells of a custom table: as text, in the one way in which categories are distinguished, and as
numbers as people write them, with decimal marks, thousands, and what only looks like a number.

Where the cells of a column can be read in two ways, nobody but the owner of the table knows which
is meant, and the column is refused with a setting for each of them.
"""

import re
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from ms_pfl.names import normal_cells
from ms_pfl.registry.ingest.refusals import Origin, first_row, quoted, refuse

#: Longer names of columns, sites and levels fit in no message, table or figure.
MAX_NAME = 100
#: Spellings of "not known" in a feature, beside empty cells. Words such as "none" are levels.
MISSING = ("", "NA", "NAN", "N/A", "#N/A", "NAT", "NULL", "<NA>", ".", "?")

Mark = Literal["point", "comma"]

# Also no-break, thin and narrow spaces, and the typographic apostrophe.
_GROUPS = " \u00a0\u2009\u202f'\u2019"
_GROUPED = r"[+-]?[1-9]\d{{0,2}}(?:([{other}{groups}])\d{{3}})(?:\1\d{{3}})*(?:[{mark}]\d+)?"
_PATTERNS = {
    "point": re.compile(_GROUPED.format(other=",", groups=_GROUPS, mark=".")),
    "comma": re.compile(_GROUPED.format(other=".", groups=_GROUPS, mark=",")),
}
_PLAIN_COMMA = re.compile(r"[+-]?(?:\d+,?\d*|,\d+)(?:[eE][+-]?\d+)?")
_THOUSANDS_OR_POINT = r"[+-]?[1-9]\d{0,2}\.\d{3}"
_LEADING_ZERO = r"[+-]?0\d.*"
# Programs write an exponent with its sign (1e+05); 1E5 is as well a ward or a plate.
_BARE_EXPONENT = r"\d+[eE]\d+"

_NUMBER = r"[+-]?\d+(?:[.,]\d+)?"
_LIMIT = re.compile(
    rf"(?:[<>≤≥~≈]=?|(?:over|under|above|below|more than|less than)\s)\s*({_NUMBER})"
    rf"|({_NUMBER})\s*\+",
    flags=re.IGNORECASE,
)
_MINUS_BEHIND = rf"{_NUMBER}\s*-"  # of SAP and mainframes
_WITH_UNIT = re.compile(rf"(?P<before>[€$£])?\s*{_NUMBER}\s*(?P<behind>[^\s\d].*)?")
#: Units that make numbers of texts even where several stand in one column.
_UNITS = frozenset(
    re.split(
        " ",
        "% g mg kg µg μg mcg ng pg l ml dl µl μl mm cm m mol mmol µmol nmol mmol/l µmol/l mg/dl "
        "g/dl g/l mg/l ng/ml pg/ml kg/m2 kg/m² u iu u/l iu/l iu/ml mmhg kpa bpm /min °c °f year "
        "years yr yrs y month months week weeks day days d hour hours h min minutes s sec € $ £ "
        "eur usd gbp",
    )
)


def text_cells(raw: pd.Series) -> pd.Series:
    """Cells as text in its normal form (dtype str), missing where empty or spelled so; 2.0 is "2".

    >>> text_cells(pd.Series([1.0, 2.5, None])).tolist()
    ['1', '2.5', nan]
    """
    if isinstance(raw.dtype, pd.CategoricalDtype):
        raw = raw.astype("object")
    text = normal_cells(raw.astype("str")).str.replace(r"^([+-]?\d+)\.0+$", r"\1", regex=True)
    return text.mask(text.isna() | text.str.upper().isin(MISSING))


def numbers_or_text(table: pd.DataFrame) -> pd.DataFrame:
    """Columns of numbers as they are, and all others as :func:`text_cells`."""
    return table.apply(
        lambda cells: cells if pd.api.types.is_numeric_dtype(cells) else text_cells(cells)
    )


def as_float32(number: pd.Series, raw: pd.Series, origin: Origin) -> pd.Series:
    """Numbers as float32.

    Args:
        number: numbers, NaN = missing.
        raw: the column as it was read, for messages; its index is that of `number`.
        origin: for messages.

    Raises:
        InputError: one is infinite, or beyond what float32 can hold.
    """
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        read = number.astype("float32")
    infinite = pd.Series(np.isinf(read.to_numpy()), raw.index)
    refuse(infinite, raw, origin, "is not finite", "correct it or leave it empty")
    return read


def first_of(names: Sequence[str], most: int = 12) -> str:
    """Return the first of some names, for a message.

    >>> first_of(["a", "b", "c"], most=2)
    'a, b, ...'
    """
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def numbers(text: pd.Series, mark: Mark) -> pd.Series:
    """Read texts as numbers (float64) under a decimal mark; NaN where one is none.

    The other mark, blanks and apostrophes may separate groups of three digits.

    >>> numbers(pd.Series(["1,234.5", "1 234", "0.5", "0,5"]), "point").tolist()
    [1234.5, 1234.0, 0.5, nan]
    >>> numbers(pd.Series(["1.234,5", "1'234", "0.5", "0,5"]), "comma").tolist()
    [1234.5, 1234.0, nan, 0.5]
    """

    def plain(cell: str) -> str:
        cell = cell.replace("\u2212", "-")  # the minus sign of typesetters
        if grouped := _PATTERNS[mark].fullmatch(cell):
            cell = cell.replace(grouped[1], "")
        elif mark == "comma" and not _PLAIN_COMMA.fullmatch(cell):
            return ""
        return cell.replace(",", ".") if mark == "comma" else cell

    distinct = text.dropna().unique()
    texts = pd.Series([plain(str(cell)) for cell in distinct], dtype="str")
    values = pd.to_numeric(texts, errors="coerce").astype("float64")
    return text.map(dict(zip(distinct, values, strict=True))).astype("float64")


def read_numbers(text: pd.Series, raw: pd.Series, origin: Origin, mark: Mark | None) -> pd.Series:
    """Read a column as numbers (float64) where it can be, NaN where a cell is none.

    Args:
        text: cells as stripped text, NaN = missing.
        raw: the column as it was read, for messages.
        origin: for messages; whether numbers are expected to have a decimal comma.
        mark: the decimal mark of ``own_episodes.numbers``, where the column is named there.

    Raises:
        InputError: the cells can be read as different numbers, or as codes.
    """
    key = str(raw.name) if re.fullmatch(r"\w+", str(raw.name)) else quoted(str(raw.name))
    categorical = "name the column in own_episodes.categorical"
    if mark is not None:
        read = numbers(text, mark)
        wrong = read.isna() & text.notna()
        _refuse_disguised(text, wrong, raw, origin)
        refuse(
            wrong,
            raw,
            origin,
            f"is no number with a decimal {mark}, as own_episodes.numbers has it",
            "correct it, or leave it empty",
        )
        return read
    point, comma = numbers(text, "point"), numbers(text, "comma")
    known = text.notna()
    no_point = known & point.isna()
    by_point, by_comma = not no_point.any(), not (known & comma.isna()).any()
    if by_point and by_comma:
        differ = known & (point != comma)
        single = text[differ].str.fullmatch(_THOUSANDS_OR_POINT)
        # A point is a decimal point, but in files in which numbers may have a decimal comma.
        if differ.any() and (origin.decimal_comma or not single.all()):
            row = first_row(differ)
            refuse(
                differ,
                raw,
                origin,
                f"may be {point[row]:.12g} or {comma[row]:.12g}",
                f"set own_episodes.numbers: {{{key}: point}} where it is {point[row]:.12g}, "
                f"{{{key}: comma}} where it is {comma[row]:.12g}",
            )
    elif by_comma and not origin.decimal_comma:
        refuse(
            no_point,
            raw,
            origin,
            "has a decimal comma",
            f"set own_episodes.numbers: {{{key}: comma}} where it is "
            f"{comma[no_point].iloc[0]:.12g}, or {categorical} where it is none",
        )
    read = comma if by_comma and not by_point else point
    if by_point or by_comma:
        for pattern, what in ((_LEADING_ZERO, "begins with a zero"), (_BARE_EXPONENT, "has an E")):
            odd = text.str.fullmatch(pattern).eq(True)
            if odd.any():
                refuse(
                    odd,
                    raw,
                    origin,
                    f"{what} and may be a code",
                    f"{categorical} if it is one, or set own_episodes.numbers: {{{key}: point}} "
                    f"if it is {read[odd].iloc[0]:.12g}",
                )
    else:
        # Beside other texts 6,1 says nothing of a whole column.
        read = pd.to_numeric(text, errors="coerce").astype("float64")
        _refuse_disguised(text, read.isna() & known, raw, origin)
    return read


def _refuse_disguised(text: pd.Series, wrong: pd.Series, raw: pd.Series, origin: Origin) -> None:
    """Refuse limits, percentages and numbers with a unit, unless other texts stand beside them."""
    if not wrong.any():
        return
    cells = text[wrong]
    behind = cells.str.fullmatch(_MINUS_BEHIND).eq(True)
    if behind.any():
        number = str(cells[behind].iloc[0]).rstrip("- ")
        refuse(
            behind, raw, origin, "has a minus sign behind the number",
            f"write it in front (-{number}) if that is meant, or name the column in "
            "own_episodes.categorical",
        )  # fmt: skip
    limits = cells.map(_LIMIT.fullmatch)
    units = cells.map(_unit)
    is_limit, has_unit = limits.notna(), units.notna()
    if not (is_limit | has_unit).all():
        return
    group = "or name the column in own_episodes.categorical if its texts are categories"
    if is_limit.any():
        found = limits[is_limit].iloc[0]
        refuse(
            is_limit, raw, origin, "is a limit and no number",
            "write one number in its place in each such row "
            f"(such as {found[1] or found[2]}), {group}",
        )  # fmt: skip
    alone = not wrong.sum() < text.notna().sum()
    if alone and units.nunique() > 1 and not units.isin(_UNITS).all():
        return  # 1A, 2B, 3rd
    if units.eq("%").all():
        said = "is a percentage" if alone else "is a percentage beside numbers without the sign"
        remedy = "write the numbers without the sign" + (", all on one scale" if not alone else "")
    else:
        said, remedy = "has a unit", "write the numbers alone, all in one unit"
    refuse(has_unit, raw, origin, said, f"{remedy}, {group}")


def _unit(cell: str) -> str | None:
    found = _WITH_UNIT.fullmatch(cell)
    unit = found and (found["behind"] or found["before"])
    # 18-64, 3/4 and 120/80 are no number with a unit.
    return None if not unit or re.search(r"\d", unit.removesuffix("2")) else unit.casefold()
