"""Feature columns of a table of one's own: number, category, or a refusal in one line."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
import pandas as pd

from ms_pfl.cohort.custom.cells import MAX_NAME, text_cells
from ms_pfl.cohort.custom.number_cells import Mark, read_numbers
from ms_pfl.cohort.custom.vocabulary import Vocabulary
from ms_pfl.errors import InputError
from ms_pfl.names import groups_of_near
from ms_pfl.registry.ingest.columns import refuse_spreadsheet_errors
from ms_pfl.registry.ingest.refusals import Origin, refuse

_log = logging.getLogger(__name__)

#: A category with more levels is an identifier or a free text.
MAX_LEVELS = 50
#: In a table so large, a column that differs in every row is taken for an identifier.
_ENOUGH_ROWS = 20
_FLAGS = {"TRUE": "1", "FALSE": "0"}
_DATE = r"(?:\d{4}[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.]\d{4})(?:[T ].*)?"


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
        _refuse_dates(raw.notna(), raw.astype("str"), origin)
    if categorical:
        text = text_cells(raw)
        refuse_spreadsheet_errors(text, raw, origin)
        return text
    if pd.api.types.is_numeric_dtype(raw):
        number = pd.Series(raw.to_numpy(dtype=np.float64, na_value=np.nan), raw.index)
    else:
        text = text_cells(raw)
        refuse_spreadsheet_errors(text, raw, origin)
        flags = text.str.upper().map(_FLAGS)
        # The cells as they stand: 91.000 may be 91 thousand.
        written = raw.astype("object").astype("str").str.strip().where(text.notna())
        if text[text.notna()].str.fullmatch(_DATE).all():
            _refuse_dates(text.notna(), raw, origin)
        number = read_numbers(written.mask(flags.notna(), flags), raw, origin, mark)
        no_number = text.notna() & number.isna()
        if no_number.any():
            cells = text[no_number]
            if cells.str.fullmatch(_DATE).all():
                _refuse_dates(no_number, raw, origin)
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
    with np.errstate(over="ignore"):  # what float32 cannot hold is refused below
        read = number.astype("float32")
    infinite = pd.Series(np.isinf(read.to_numpy()), raw.index)
    refuse(infinite, raw, origin, "is not finite", "correct it or leave it empty")
    return read


def _refuse_dates(wrong: pd.Series, raw: pd.Series, origin: Origin) -> None:
    refuse(
        wrong,
        raw,
        origin,
        "is a date",
        "turn the column into a number, such as an age in years, or name it in "
        "own_episodes.leave_out",
    )


def warn_of_spellings(names: Iterable[str], origin: Origin, column: str, what: str) -> None:
    """Warn of names that look alike; `what` they are, such as "levels"."""
    for first, *others in groups_of_near(names):
        for other in others:
            _log.warning(
                "%s, column %s: %r and %r are two %s; write them in one way if they mean the same",
                origin.label, column, first, other, what,
            )  # fmt: skip


def check_vocabulary(
    features: pd.DataFrame, vocabulary: Vocabulary, origin: Origin, declared: tuple[str, ...]
) -> None:
    """Refuse categories that are identifiers; warn of columns that can teach nothing.

    Args:
        features: the columns as :func:`read_feature` gives them.
        vocabulary: of all sites.
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
            raise InputError(
                f"{origin.label}, column {name}: {len(levels)} different texts in {rows} rows, "
                f"such as {levels[0][:40]!r}; an identifier? {leave_out}, or group its values (at "
                f"most {MAX_LEVELS})"
            )
        refuse(
            features[name].str.len() > MAX_NAME,
            features[name],
            origin,
            f"has more than {MAX_NAME} characters",
            f"{leave_out}, or shorten its values",
        )
        warn_of_spellings(levels, origin, name, "levels")
    for name in vocabulary.columns:
        values = features[name].dropna()
        if (different := values.nunique()) <= 1:
            said = (
                f"{str(values.iloc[0])[:100]!r} in all rows" if different else "no value in any row"
            )
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
