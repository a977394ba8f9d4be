"""A multi-site table of one's own -> the episodes table and the vocabulary it is encoded with."""

from __future__ import annotations

import difflib
import itertools
import logging
from pathlib import Path

import pandas as pd

from ms_pfl.cohort.custom.cells import MAX_NAME, MISSING, text_cells
from ms_pfl.cohort.custom.features import check_vocabulary, read_feature, warn_of_spellings
from ms_pfl.cohort.custom.labels import read_label
from ms_pfl.cohort.custom.parameters import OwnEpisodesParameters
from ms_pfl.cohort.custom.vocabulary import Vocabulary, encode, merge, site_vocabulary
from ms_pfl.cohort.episodes import ID_COLUMNS
from ms_pfl.errors import InputError
from ms_pfl.names import listed, normal, normal_cells
from ms_pfl.registry.contract import EARLIEST_PERSON_YEAR, Column
from ms_pfl.registry.ingest.columns import read_column
from ms_pfl.registry.ingest.named_columns import values_for_names
from ms_pfl.registry.ingest.refusals import Origin, refuse
from ms_pfl.registry.ingest.table_files import READ, how_to_read, read_table

_log = logging.getLogger(__name__)

#: Names that are believed of a site, but not without a word.
_NO_SITE = {*MISSING, "NONE", "UNKNOWN"}
_ROW_DIGITS = 6
#: Settings of own_episodes that say of a feature column what becomes of it.
_LISTS = ("leave_out", "categorical", "numbers")


def read_file(path: str | Path) -> tuple[pd.DataFrame, Origin]:
    """Read a .csv or .parquet file; it is only read.

    Returns:
        The table (cells of a CSV file as text, blank lines as rows), and where it came from.

    Raises:
        InputError: the file is not there, or is no table.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        folder = path.parent
        near = [
            other.name
            for other in (sorted(folder.iterdir()) if folder.is_dir() else [])
            if other.stem.casefold() == path.stem.casefold()
        ]
        hint = f"; the folder holds {near[0]}: name that" if near else ""
        raise InputError(
            f"the episodes file {path} does not exist or is no file"
            + (hint or "; name a .csv or .parquet file")
        )
    if path.suffix.lower() in READ:
        return read_table(path)
    raise InputError(f"the episodes file {path.parent / how_to_read(path)}")


def own_episodes(
    table: pd.DataFrame, origin: Origin, parameters: OwnEpisodesParameters
) -> tuple[pd.DataFrame, Vocabulary]:
    """Read a table's columns, agree on a vocabulary over its sites, and encode with it.

    Args:
        table: one row an episode; all columns that are not mapped or left out are features.
        origin: for messages.
        parameters: the column map and what is done with labels and features.

    Returns:
        ``episodes`` as :class:`ms_pfl.cohort.schemas.Episodes` has them, rows in the order of the
        table; and the vocabulary.

    Raises:
        InputError: a column or a value cannot be used; file, row, column, value and remedy.
    """
    table = _without_blank_rows(_named_columns(table, origin), origin)
    _note_other_forms(table, origin)
    mapped = _map_columns(list(table.columns), origin, parameters)
    site = _read_site(table[mapped["country"]], origin)
    episodes = pd.DataFrame(index=table.index)
    episodes["episode_id"] = _episode_ids(table, mapped, site, origin)
    if "patient_id" in mapped:
        column = Column("patient_id", "text", required=True, is_id=True)
        episodes["patient_id"] = read_column(
            table[mapped["patient_id"]], column, table.index, origin
        )
    else:
        episodes["patient_id"] = episodes["episode_id"]
    episodes["country"] = site
    if "t0" in mapped:
        column = Column("t0", "date", earliest_year=EARLIEST_PERSON_YEAR)
        episodes["t0"] = read_column(table[mapped["t0"]], column, table.index, origin)
    episodes["label"] = read_label(table[mapped["label"]], origin, parameters)
    features = _read_features(table, mapped, origin, parameters)
    vocabulary = merge(
        site_vocabulary(features.loc[rows], missing_indicators=parameters.missing_indicators)
        for rows in features.groupby(site).groups.values()
    )
    check_vocabulary(features, vocabulary, origin, parameters.categorical)
    encoded = _encode(features, vocabulary, origin)
    return pd.concat([episodes, encoded], axis=1).reset_index(drop=True), vocabulary


def _encode(features: pd.DataFrame, vocabulary: Vocabulary, origin: Origin) -> pd.DataFrame:
    try:
        encoded = encode(features, vocabulary)
    except InputError as error:
        raise InputError(f"{origin.label}: {error}") from None
    for name in encoded.columns:
        if name in ID_COLUMNS:
            raise InputError(
                f"{origin.label}, column {name}: the name has a meaning of its own here; map it in "
                "own_episodes.columns, rename it, or name it in own_episodes.leave_out"
            )
    return encoded


def _named_columns(table: pd.DataFrame, origin: Origin) -> pd.DataFrame:
    """The columns under names that can be shown; rows numbered from 0."""
    names = [normal(str(name)) for name in table.columns]
    kept = []
    for position, name in enumerate(names):
        if name:
            kept.append(position)
        elif text_cells(table.iloc[:, position]).notna().any():
            raise InputError(
                f"{origin.label}, column {position + 1} has values and no name; name it in the "
                "header, and if it numbers the rows, also in own_episodes.leave_out"
            )
        if len(name) > MAX_NAME:
            raise InputError(
                f"{origin.label}, column {position + 1} has a name of {len(name)} characters, "
                f"{name[:40]}...; shorten it to at most {MAX_NAME}"
            )
        if name and names.count(name) > 1:
            raise InputError(f"{origin.label} has two columns named {name}; keep one of them")
    table = table.set_axis(names, axis=1).iloc[:, kept]
    return table.reset_index(drop=True)


def _note_other_forms(table: pd.DataFrame, origin: Origin) -> None:
    """Tell how many cells of text were not in the normal form of names, in which they are read."""
    counts = {}
    for name in table.columns:
        if pd.api.types.is_string_dtype(table[name]):
            text = table[name].astype("str").str.strip()
            counts[name] = int((text != normal_cells(text)).sum() - text.isna().sum())
    told = listed(f"{name} ({n})" for name, n in counts.items() if n)
    if told:
        _log.info("%s: cells read in the normal form of their text, by column: %s", origin.label,
                  told)  # fmt: skip


def _without_blank_rows(table: pd.DataFrame, origin: Origin) -> pd.DataFrame:
    blank = pd.Series(True, index=table.index)
    for name in table.columns:
        numeric = pd.api.types.is_numeric_dtype(table[name])
        blank &= (table[name] if numeric else text_cells(table[name])).isna()
    if blank.all():
        raise InputError(f"{origin.label} holds no row; at least one episode is needed")
    return table[~blank]


def _map_columns(
    columns: list[str], origin: Origin, parameters: OwnEpisodesParameters
) -> dict[str, str]:
    """Contract's name -> the table's, for what the table has; all names are checked."""
    given = parameters.columns
    wanted = {"country": ("site", given.site), "label": ("label", given.label)}
    for name in ("patient_id", "episode_id", "t0"):
        own = getattr(given, name)
        if own is not None or (name in columns and name not in parameters.leave_out):
            wanted[name] = (name, name if own is None else own)
    named = [(f"columns.{key}", own) for key, own in wanted.values()]
    named += [("leave_out", own) for own in parameters.leave_out]
    named += [("categorical", own) for own in parameters.categorical]
    named += [("numbers", own) for own in parameters.numbers]
    for key, own in named:
        if own not in columns:
            close = difflib.get_close_matches(own, columns, n=1)
            shown = close or [*columns[:12], *(["..."] if len(columns) > 12 else [])]
            if values := values_for_names(columns):
                raise InputError(
                    f"{origin.label} has no column {own}, and begins with values such as "
                    f"{values[0][:40]!r}; if it has no header, put a line with the names of the "
                    f"columns above them, else set own_episodes.{key} to one of: "
                    f"{', '.join(columns[:12])}{', ...' if len(columns) > 12 else ''}"
                )
            raise InputError(
                f"{origin.label} has no column {own}, but {', '.join(shown)}; set "
                f"own_episodes.{key} to a column of the table"
            )
    mapped = {name: own for name, (_, own) in wanted.items()}
    lists = {name: set(getattr(parameters, name)) for name in _LISTS}
    for own in set.union(*lists.values()) & set(mapped.values()):
        raise InputError(
            f"{origin.label}, column {own}: it is mapped in own_episodes.columns and cannot be in "
            f"{', '.join(_LISTS[:-1])} or {_LISTS[-1]} too; take it out of one of them"
        )
    for one, other in itertools.combinations(_LISTS, 2):
        for own in lists[one] & lists[other]:
            raise InputError(
                f"{origin.label}, column {own}: it is both in own_episodes.{one} and in "
                f"own_episodes.{other}; take it out of one of them"
            )
    for one, other in (("label", "country"), ("label", "patient_id"), ("label", "episode_id")):
        if mapped[one] == mapped.get(other):
            raise InputError(
                f"{origin.label}, column {mapped[one]}: it cannot be the label and "
                f"{other.replace('country', 'site')} at once; correct own_episodes.columns"
            )
    return mapped


def _read_site(raw: pd.Series, origin: Origin) -> pd.Series:
    column = Column("country", "text", required=True, longest=MAX_NAME)
    site = read_column(raw, column, raw.index, origin)
    counts = site.value_counts()
    warn_of_spellings(counts.index, origin, str(raw.name), "sites")
    for name in sorted(counts.index):
        if name.upper() in _NO_SITE:
            _log.warning(
                "%s, column %s: %r in %d rows is taken for a site; name the site, or remove the "
                "rows if it is not known", origin.label, raw.name, name, counts[name],
            )  # fmt: skip
    return site


def _episode_ids(
    table: pd.DataFrame, mapped: dict[str, str], site: pd.Series, origin: Origin
) -> pd.Series:
    if "episode_id" not in mapped:
        number = site.groupby(site).cumcount() + 1
        return site + " " + number.astype("str").str.zfill(_ROW_DIGITS)
    raw = table[mapped["episode_id"]]
    column_of_ids = Column("episode_id", "text", required=True, is_id=True)
    ids = read_column(raw, column_of_ids, table.index, origin)
    same = ids.duplicated() & table.duplicated()
    problem = "stands in an earlier row already"
    refuse(same, raw, origin, f"{problem}, with the same cells", "remove the row that repeats it")
    column = mapped["episode_id"]
    remedy = (
        "two rows are two episodes: give each an id of its own, or have them numbered "
        f"(own_episodes.columns.episode_id: null and own_episodes.leave_out: [{column}])"
    )
    refuse(ids.duplicated(), raw, origin, problem, remedy)
    return ids


def _read_features(
    table: pd.DataFrame, mapped: dict[str, str], origin: Origin, parameters: OwnEpisodesParameters
) -> pd.DataFrame:
    used = {*mapped.values(), *parameters.leave_out}
    names = [name for name in table.columns if name not in used]
    if not names:
        raise InputError(
            f"{origin.label} has no feature beside {', '.join(table.columns)}; add what to predict "
            "from, a column each"
        )
    return pd.DataFrame(
        {
            name: read_feature(
                table[name],
                origin,
                categorical=name in parameters.categorical,
                mark=parameters.numbers.get(name),
            )
            for name in names
        }
    )
