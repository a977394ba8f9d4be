"""The federated vocabulary: one encoding for all sites, of which each states its own part.

A site states, from its own rows alone, the levels of its categorical columns, which columns are
numbers, and (where indicators are wanted) in which columns it misses values. The server takes the
sorted union, and every site encodes its rows with that. Levels that few patients have are no part
of it: :func:`with_common_levels` takes their names out before anything is written. No row, no count
and no number of a patient is in a vocabulary.
"""

import logging
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ms_pfl.cohort.custom.cells import numbers_or_text, text_cells
from ms_pfl.config import Section
from ms_pfl.errors import InputError
from ms_pfl.names import near_names
from ms_pfl.text import shown

#: The level that stands for those of few patients, and for texts that are no level.
OTHER = "other"
_log = logging.getLogger(__name__)


class Vocabulary(Section):
    """What a site states, or what the server makes of all sites.

    Attributes:
        columns: all columns of the table that are features, in their order.
        levels: sorted levels of each categorical column; :data:`OTHER`, where it is one, also
            stands for texts that are no level.
        numbers: sorted names of the columns that hold numbers.
        missing: sorted names of the columns that get an indicator because values are missing.
    """

    columns: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    numbers: tuple[str, ...]
    missing: tuple[str, ...]


def site_vocabulary(rows: pd.DataFrame, *, missing_indicators: bool) -> Vocabulary:
    """Return what a site states of its own rows.

    Args:
        rows: the site's features: numeric columns are numbers, all others are categorical, by
            their text; NaN = missing. A column without any value is neither: another site says.
        missing_indicators: whether columns with missing values are stated.

    >>> rows = pd.DataFrame({"sex": ["m", "f", None], "age": [61.0, 48.0, 55.0]})
    >>> site_vocabulary(rows, missing_indicators=True).model_dump()
    {'columns': ('sex', 'age'), 'levels': {'sex': ('f', 'm')}, 'numbers': ('age',), \
'missing': ('sex',)}
    """
    cells = numbers_or_text(rows).rename(columns=str)
    known = [name for name in cells.columns if cells[name].notna().any()]
    numbers = [name for name in known if pd.api.types.is_numeric_dtype(cells[name])]
    lacking = [name for name in cells.columns if cells[name].isna().any()]
    return Vocabulary(
        columns=tuple(cells.columns),
        levels={
            name: tuple(sorted(cells[name].dropna().unique()))
            for name in known
            if name not in numbers
        },
        numbers=tuple(sorted(numbers)),
        missing=tuple(sorted(lacking)) if missing_indicators else (),
    )


def merge(vocabularies: Iterable[Vocabulary]) -> Vocabulary:
    """Return the sorted union of what the sites state; their order changes nothing.

    Raises:
        InputError: the sites do not have the same columns, or a column holds numbers at one and
            text at another.
    """
    stated = list(vocabularies)
    for other in stated[1:]:
        if other.columns != stated[0].columns:
            differing = sorted(set(other.columns) ^ set(stated[0].columns))
            raise InputError(
                "the sites do not have the same columns in the same order"
                f"{': ' + ', '.join(differing) + ' is not at all of them' if differing else ''}; "
                "give all sites the same columns"
            )
    levels = {
        name: _union(one.levels.get(name, ()) for one in stated)
        for name in _union(one.levels for one in stated)
    }
    numbers = _union(one.numbers for one in stated)
    for name in sorted(levels.keys() & numbers):
        raise InputError(
            f"column {name} holds numbers at one site and text at another; write it in one way, or "
            "name it in own_episodes.categorical"
        )
    missing = _union(one.missing for one in stated)
    return Vocabulary(columns=stated[0].columns, levels=levels, numbers=numbers, missing=missing)


def _union(parts: Iterable[Iterable[str]]) -> tuple[str, ...]:
    return tuple(sorted(set().union(*parts)))


def with_common_levels(
    vocabulary: Vocabulary, rows: pd.DataFrame, patients: pd.Series, minimum: int
) -> Vocabulary:
    """Return a vocabulary without the levels that fewer than ``minimum`` patients have.

    They become :data:`OTHER`, which is a level where at least ``minimum`` patients of all sites
    have one of them (or have the level of that name itself). No message names them.

    Args:
        vocabulary: of all sites.
        rows: of all sites, as for :func:`encode`.
        patients: of each row a name that is unique over the sites.
        minimum: patients, of all sites together; 1: the vocabulary as it is.
    """
    if minimum == 1:
        return vocabulary
    levels: dict[str, tuple[str, ...]] = {}
    for name, stated in vocabulary.levels.items():
        held = pd.DataFrame({"level": text_cells(rows[name]), "patient": patients}).dropna()
        counts = held.groupby("level")["patient"].nunique()
        common = {level for level in stated if counts.get(level, 0) >= minimum and level != OTHER}
        rest = held.loc[~held["level"].isin(common), "patient"].nunique()
        levels[name] = tuple(sorted({*common, OTHER} if rest >= minimum else common))
        if rare := len(set(stated) - common - {OTHER}):
            _log.warning(
                "column %s: %d of %d levels have fewer than %d patients and %s "
                "(own_episodes.minimum_patients)",
                shown(name), rare, len(stated), minimum,
                f"count as {OTHER!r}" if rest >= minimum else "count as no level",
            )  # fmt: skip
    return vocabulary.model_copy(update={"levels": levels})


def feature_names(vocabulary: Vocabulary) -> list[str]:
    """Names of the features that :func:`encode` makes, in their order.

    Raises:
        InputError: two features would have the same name.
    """
    names: list[str] = []
    for column in vocabulary.columns:
        levels = vocabulary.levels.get(column)
        names += [column] if levels is None else [f"{column}={level}" for level in levels]
        names += [f"{column} missing"] if column in vocabulary.missing else []
    for name in names:
        if names.count(name) > 1:
            raise InputError(
                f"two features would be called {name!r}; rename the column of that name"
            )
    return names


def encode(rows: pd.DataFrame, vocabulary: Vocabulary) -> pd.DataFrame:
    """Encode a site's rows, of training or of new patients.

    A number stays as it is. A category becomes a column per level, 1 or 0; a text that is no level
    of the vocabulary counts as :data:`OTHER` where that is one, else it is 0 in all of them. A
    missing value stays missing (NaN) in the number and in each of the category's columns, so that
    training puts the federated mean there: of a category, the share of each level among all rows
    that have one. The indicator, where the vocabulary has one, is 1 where the value is missing.

    Args:
        rows: at least the columns of the vocabulary, as for :func:`site_vocabulary`. Cells of a
            category count by their text, whatever their type: 2 and 2.0 are the level "2".
        vocabulary: of all sites.

    Returns:
        Features float32 named by :func:`feature_names`, with the index of `rows`.

    Raises:
        InputError: a column is absent, or holds text where the vocabulary has numbers.

    >>> site = pd.DataFrame({"sex": ["m", "f", None]})
    >>> encode(site, site_vocabulary(site, missing_indicators=True))
       sex=f  sex=m  sex missing
    0    0.0    1.0          0.0
    1    1.0    0.0          0.0
    2    NaN    NaN          1.0
    """
    absent = [name for name in vocabulary.columns if name not in rows.columns]
    if absent:
        raise InputError(
            f"column {absent[0]} of the vocabulary is absent; add it, empty if unknown"
        )
    encoded: list[np.ndarray] = []
    for name in vocabulary.columns:
        values = text_cells(rows[name]) if name in vocabulary.levels else rows[name]
        unknown = values.isna().to_numpy()
        if name in vocabulary.levels:
            levels = vocabulary.levels[name]
            _warn_of_near_levels(name, values, levels)
            if OTHER in levels:
                values = values.where(unknown | values.isin(levels), OTHER)
            encoded += [
                np.where(unknown, np.float32(np.nan), values.eq(level).to_numpy(dtype=np.float32))
                for level in levels
            ]
        elif pd.api.types.is_numeric_dtype(values) or unknown.all():
            encoded.append(values.to_numpy(dtype=np.float32, na_value=np.nan))
        else:
            raise InputError(
                f"column {name} holds {str(values.dropna().iloc[0])!r} where the vocabulary has "
                "numbers; write it as a number"
            )
        if name in vocabulary.missing:
            encoded.append(unknown.astype(np.float32))
    return pd.DataFrame(
        dict(zip(feature_names(vocabulary), encoded, strict=True)), index=rows.index
    )


def _warn_of_near_levels(column: str, values: pd.Series, levels: Sequence[str]) -> None:
    """Warn of texts that are no level and look like one."""
    for text in sorted(set(values.dropna().unique()) - set(levels)):
        if alike := near_names(text, levels):
            _log.warning(
                "column %s: %r is no level and counts as %s; write it as %r if it means the same",
                shown(column), text, repr(OTHER) if OTHER in levels else "none of them", alike[0],
            )  # fmt: skip
