"""Columns of a custom table: the label, and features that are numbers or categories.

Each is read, or refused in one line.
"""

import logging
from collections.abc import Iterable

import numpy as np
import pandas as pd

from ms_pfl.cohort.custom.cells import (
    MAX_NAME,
    Mark,
    as_float32,
    first_of,
    read_numbers,
    text_cells,
)
from ms_pfl.cohort.custom.vocabulary import Vocabulary
from ms_pfl.cohort.parameters import OwnEpisodesParameters
from ms_pfl.errors import InputError
from ms_pfl.names import groups_of_near
from ms_pfl.registry.ingest.columns import refuse_spreadsheet_errors
from ms_pfl.registry.ingest.refusals import Origin, quoted, refuse

_log = logging.getLogger(__name__)

_LABELS = {"0": 0, "1": 1, "FALSE": 0, "TRUE": 1}
#: Words that mean the same; two of one set are no two outcomes.
_MEANINGS = (
    frozenset({"1", "TRUE", "T", "YES", "Y"}),
    frozenset({"0", "FALSE", "F", "NO", "N"}),
)
#: A category with more levels is an identifier or a free text.
MAX_LEVELS = 50
#: In a table so large, a column that differs in every row is taken for an identifier.
_ENOUGH_ROWS = 20
_FLAGS = {"TRUE": "1", "FALSE": "0"}
_DATE = r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})(?:[T ].*)?"
_A_DATE = (
    "is a date",
    "turn the column into a number, such as an age in years, or name it in own_episodes.leave_out",
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
    return first_of([repr(value[:40]) for value in found], most=5)


def read_feature(
    raw: pd.Series, origin: Origin, *, categorical: bool, mark: Mark | None = None
) -> pd.Series:
    """One column as numbers (float32) or categories (str), NaN = missing.

    Args:
        raw: cells as text or typed, indexed by row position; its name is the column's.
        origin: for messages.
        categorical: numbers are categories too.
        mark: decimal mark, where ``own_episodes.numbers`` names the column.

    Raises:
        InputError: the column holds dates, numbers beside text, numbers other than 0 and 1 beside
            true and false, numbers that can be read in two ways or may be codes, limits, units, or
            a number that is not finite.
    """
    if pd.api.types.is_datetime64_any_dtype(raw) or pd.api.types.is_timedelta64_dtype(raw):
        refuse(raw.notna(), raw.astype("str"), origin, *_A_DATE)
    if pd.api.types.is_numeric_dtype(raw) and not categorical:
        number = pd.Series(raw.to_numpy(dtype=np.float64, na_value=np.nan), raw.index)
        return as_float32(number, raw, origin)
    text = text_cells(raw)
    refuse_spreadsheet_errors(text, raw, origin)
    if categorical:
        return text
    if text[text.notna()].str.fullmatch(_DATE).all():
        refuse(text.notna(), raw, origin, *_A_DATE)
    flags = text.str.upper().map(_FLAGS)
    # The cells as they stand: 91.000 may be 91 thousand.
    written = raw.astype("object").astype("str").str.strip().where(text.notna())
    number = read_numbers(written.mask(flags.notna(), flags), raw, origin, mark)
    no_number = text.notna() & number.isna()
    if no_number.any():
        if text[no_number].str.fullmatch(_DATE).all():
            refuse(no_number, raw, origin, *_A_DATE)
        if no_number.sum() == text.notna().sum():
            return text
        refuse(
            no_number,
            raw,
            origin,
            "is no number, as other rows of the column are",
            "write a number or leave it empty, or name the column in own_episodes.categorical "
            "if it holds codes",
        )
    if flags.notna().any():
        refuse(
            flags.isna() & number.notna() & ~number.isin((0, 1)),
            raw,
            origin,
            "stands beside true and false",
            "write 0 or 1, or true or false, or leave it empty",
        )
    return as_float32(number, raw, origin)


def warn_of_spellings(names: Iterable[str], origin: Origin, column: str, what: str) -> None:
    """Warn of names that look alike; `what` they are, such as "levels"."""
    for first, *others in groups_of_near(names):
        for other in others:
            _log.warning(
                "%s, column %s: %r and %r are two %s; write them in one way if they mean the same",
                origin.label, column, first, other, what,
            )  # fmt: skip


def check_vocabulary(
    features: pd.DataFrame,
    vocabulary: Vocabulary,
    common: Vocabulary,
    origin: Origin,
    declared: tuple[str, ...],
) -> None:
    """Refuse categories that are identifiers; warn of columns that can teach nothing.

    Args:
        features: the columns as :func:`read_feature` gives them.
        vocabulary: of all sites.
        common: the same without the levels of few patients, which are not named here either.
        origin: for messages.
        declared: columns that were named categorical on purpose.

    Raises:
        InputError: a category has more than 50 levels, or another one in each row of a table of
            20 rows or more, or a level of more than 100 characters.
    """
    rows = len(features)
    leave_out = "name it in own_episodes.leave_out"
    for name, levels in vocabulary.levels.items():
        if len(levels) > MAX_LEVELS or (
            len(levels) == rows >= _ENOUGH_ROWS and name not in declared
        ):
            named = [level for level in levels if level in common.levels[name]]
            example = f", such as {named[0][:40]!r}" if named else ""
            raise InputError(
                f"{origin.label}, column {name}: {len(levels)} different texts in {rows} rows"
                f"{example}; an identifier? {leave_out}, or group its values (at most {MAX_LEVELS})"
            )
        refuse(
            features[name].str.len() > MAX_NAME,
            features[name].where(features[name].isin(common.levels[name])),
            origin,
            f"has more than {MAX_NAME} characters",
            f"{leave_out}, or shorten its values",
        )
        warn_of_spellings(common.levels[name], origin, name, "levels")
    for name in vocabulary.columns:
        values = features[name].dropna()
        if (different := values.nunique()) <= 1:
            may_be_named = name in vocabulary.numbers or values.isin(common.levels.get(name, ()))
            value = repr(str(values.iloc[0])[:100]) if different and np.all(may_be_named) else "one"
            said = f"{value} in all rows" if different else "no value in any row"
            _log.warning(
                "%s, column %s: %s, so that nothing can be learned from it; %s",
                origin.label, name, said, leave_out,
            )  # fmt: skip
        elif (
            name in vocabulary.numbers
            and different == rows >= _ENOUGH_ROWS
            and (values % 1 == 0).all()
        ):
            _log.warning(
                "%s, column %s: another whole number in each row; if it is an identifier, %s",
                origin.label, name, leave_out,
            )  # fmt: skip
