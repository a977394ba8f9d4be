"""A custom multi-site table -> the episodes table and the vocabulary it is encoded with."""

import difflib
import itertools
import logging
from dataclasses import replace
from pathlib import Path

import pandas as pd

from ms_pfl.cohort.custom.cells import MAX_NAME, MISSING, first_of, numbers_or_text, text_cells
from ms_pfl.cohort.custom.columns import (
    check_vocabulary,
    read_feature,
    read_label,
    warn_of_spellings,
)
from ms_pfl.cohort.custom.readings import TABLE, as_set
from ms_pfl.cohort.custom.vocabulary import (
    Vocabulary,
    encode,
    merge,
    site_vocabulary,
    with_common_levels,
)
from ms_pfl.cohort.episodes import ID_COLUMNS
from ms_pfl.cohort.parameters import OwnEpisodesParameters
from ms_pfl.errors import InputError
from ms_pfl.input_files import FileLimits
from ms_pfl.names import listed, normal, normal_cells
from ms_pfl.registry.contract import EARLIEST_PERSON_YEAR, Column
from ms_pfl.registry.ingest.columns import read_column
from ms_pfl.registry.ingest.csv_files import NO_MORE
from ms_pfl.registry.ingest.named_columns import values_for_names
from ms_pfl.registry.ingest.refusals import Origin, refuse
from ms_pfl.registry.ingest.report import IngestReport
from ms_pfl.registry.ingest.table_files import (
    READ,
    FileSettings,
    how_to_read,
    read_table,
)

_log = logging.getLogger(__name__)

#: Names that are believed of a site, but not without a word.
_NO_SITE = {*MISSING, "NONE", "UNKNOWN"}
_ROW_DIGITS = 6
#: Columns that are read as the contract has them.
_COLUMNS = {
    "country": Column("country", "text", required=True, longest=MAX_NAME),
    "episode_id": Column("episode_id", "text", required=True, is_id=True),
    "patient_id": Column("patient_id", "text", required=True, is_id=True),
    "t0": Column("t0", "date", earliest_year=EARLIEST_PERSON_YEAR),
}
#: Settings of own_episodes that say of a feature column what becomes of it.
_LISTS = ("leave_out", "categorical", "numbers")
#: What own_episodes.columns calls a column of the contract, where that is another name.
_SETTING = {"country": "site"}


def read_file(
    path: str | Path,
    limits: FileLimits = NO_MORE,
    parameters: OwnEpisodesParameters | None = None,
) -> tuple[pd.DataFrame, Origin]:
    """Read a file of a kind that the tables of a registry may have; it is only read.

    Args:
        path: of the file.
        limits: of the file, where no parameters are given.
        parameters: name its encoding and sheet.

    Returns:
        The table (cells of a text file as text, blank lines as rows), and where it came from.

    Raises:
        InputError: the file is not there, or is no table.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        near = [
            other.name
            for other in sorted(path.parent.glob("*"))
            if other.stem.casefold() == path.stem.casefold()
        ]
        hint = (
            f"the folder holds {near[0]}: name that"
            if near
            else "name a file such as .csv, .xlsx or .parquet"
        )
        raise InputError(f"the episodes file {path} does not exist or is no file; {hint}")
    if path.suffix.lower() in READ:
        settings = FileSettings(limits, "own_episodes")
        if parameters is not None:
            settings = FileSettings(
                parameters.limits, "own_episodes", parameters.encoding, parameters.sheet,
                parameters.value_labels,
            )  # fmt: skip
        return read_table(path, settings=settings)
    raise InputError(f"the episodes file {path.parent / how_to_read(path)}")


def own_episodes(
    table: pd.DataFrame,
    origin: Origin,
    parameters: OwnEpisodesParameters,
    report: IngestReport | None = None,
) -> tuple[pd.DataFrame, Vocabulary]:
    """Read a table's columns, agree on a vocabulary over its sites, and encode with it.

    Args:
        table: one row per episode; all columns that are not mapped or left out are features.
        origin: for messages.
        parameters: the column map and what is done with labels and features.
        report: takes note of each reading that is not literal.

    Returns:
        ``episodes`` as :class:`ms_pfl.cohort.schemas.Episodes` has them, rows in the order of the
        table; and the vocabulary.

    Raises:
        InputError: a column or a value cannot be used; file, row, column, value and remedy.
    """
    table = named_table(table, origin)
    _note_other_forms(table, origin)
    mapped = _map_columns(list(table.columns), origin, parameters)
    report = report or IngestReport()
    noted = replace(origin, table=TABLE)
    for note in origin.notes:
        report.remark(note.rule, noted, note.column, note.value, note.action, note.row)
    table = as_set(table, mapped["label"], noted, parameters, report)
    given = {name: table[own] for name, own in mapped.items()}

    def read(name: str) -> pd.Series:
        return read_column(given[name], _COLUMNS[name], table.index, origin)

    site = read("country")
    _warn_of_sites(site, origin, mapped["country"])
    if "episode_id" in mapped:
        ids = read("episode_id")
        _refuse_repeated(ids, table, origin, mapped["episode_id"])
    else:
        number = site.groupby(site).cumcount() + 1
        ids = site + " " + number.astype("str").str.zfill(_ROW_DIGITS)
    known = {
        "episode_id": ids,
        "patient_id": read("patient_id") if "patient_id" in mapped else ids,
        "country": site,
    }
    if "t0" in mapped:
        known["t0"] = read("t0")
    known["label"] = read_label(given["label"], origin, parameters)
    features = _read_features(table, mapped, origin, parameters)
    vocabulary = merge(
        site_vocabulary(features.loc[rows], missing_indicators=parameters.missing_indicators)
        for rows in features.groupby(site).groups.values()
    )
    # a space alone would make one patient of ("A B", "C") and ("A", "B C")
    patients = site + "\x1f" + known["patient_id"]
    minimum = parameters.minimum_patients
    common = with_common_levels(vocabulary, features, patients, minimum)
    check_vocabulary(features, vocabulary, common, origin, parameters.categorical)
    try:
        encoded = encode(features, common)
    except InputError as error:
        raise InputError(f"{origin.label}: {error}") from None
    if encoded.shape[1] == 0:
        raise InputError(
            f"{origin.label} leaves no feature: no level of its categories has {minimum} patients; "
            "group the levels, add a column of numbers, or lower own_episodes.minimum_patients"
        )
    for name in encoded.columns.intersection(list(ID_COLUMNS), sort=False):
        raise InputError(
            f"{origin.label}, column {name}: the name has a meaning of its own here; map it in "
            "own_episodes.columns, rename it, or name it in own_episodes.leave_out"
        )
    episodes = pd.concat([pd.DataFrame(known), encoded], axis=1)
    return episodes.reset_index(drop=True), common


def named_table(table: pd.DataFrame, origin: Origin) -> pd.DataFrame:
    """Return a table with columns under names that can be shown, without blank rows.

    Raises:
        InputError: a name cannot be shown or stands twice, or there is no row.
    """
    table = _named_columns(table, origin)
    blank = numbers_or_text(table).isna().all(axis=1)
    if blank.all():
        raise InputError(f"{origin.label} holds no row; at least one episode is needed")
    return table[~blank]


def _named_columns(table: pd.DataFrame, origin: Origin) -> pd.DataFrame:
    """Return the columns under names that can be shown; rows numbered from 0."""
    names = [normal(str(name)) for name in table.columns]
    for position, name in enumerate(names):
        if not name and text_cells(table.iloc[:, position]).notna().any():
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
    named = [name != "" for name in names]
    return table.set_axis(names, axis=1).loc[:, named].reset_index(drop=True)


def _note_other_forms(table: pd.DataFrame, origin: Origin) -> None:
    """Tell how many cells of text were not in the normal form of names, in which they are read."""
    texts = {
        name: cells.astype("str").str.strip()
        for name, cells in table.items()
        if pd.api.types.is_string_dtype(cells)
    }
    counts = {
        name: (text.notna() & (text != normal_cells(text))).sum() for name, text in texts.items()
    }
    told = listed(f"{name} ({n})" for name, n in counts.items() if n)
    if told:
        _log.info("%s: cells read in the normal form of their text, by column: %s", origin.label,
                  told)  # fmt: skip


def _map_columns(
    columns: list[str], origin: Origin, parameters: OwnEpisodesParameters
) -> dict[str, str]:
    """Contract's name -> the table's, for what the table has; all names are checked."""
    given = parameters.columns
    mapped = {"country": given.site, "label": given.label}
    for name in ("patient_id", "episode_id", "t0"):
        own = getattr(given, name)
        if own is not None or (name in columns and name not in parameters.leave_out):
            mapped[name] = name if own is None else own
    settings = [(f"columns.{_SETTING.get(name, name)}", own) for name, own in mapped.items()]
    settings += [(name, own) for name in _LISTS for own in getattr(parameters, name)]
    for setting, own in settings:
        if own not in columns and (values := values_for_names(columns)):
            raise InputError(
                f"{origin.label} has no column {own}, and begins with values such as "
                f"{values[0][:40]!r}; if it has no header, put a line with the names of the "
                f"columns above them, else set own_episodes.{setting} to one of: "
                f"{first_of(columns)}"
            )
        if own not in columns:
            close = difflib.get_close_matches(own, columns, n=1)
            raise InputError(
                f"{origin.label} has no column {own}, but {first_of(close or columns)}; set "
                f"own_episodes.{setting} to a column of the table"
            )
    lists = {name: set(getattr(parameters, name)) for name in _LISTS}
    for own in sorted(set.union(*lists.values()) & set(mapped.values())):
        raise InputError(
            f"{origin.label}, column {own}: it is mapped in own_episodes.columns and cannot be in "
            f"{', '.join(_LISTS[:-1])} or {_LISTS[-1]} too; take it out of one of them"
        )
    for one, other in itertools.combinations(_LISTS, 2):
        for own in sorted(lists[one] & lists[other]):
            raise InputError(
                f"{origin.label}, column {own}: it is both in own_episodes.{one} and in "
                f"own_episodes.{other}; take it out of one of them"
            )
    for name in ("country", "patient_id", "episode_id"):
        if mapped["label"] == mapped.get(name):
            raise InputError(
                f"{origin.label}, column {mapped[name]}: it cannot be the label and "
                f"{_SETTING.get(name, name)} at once; correct own_episodes.columns"
            )
    return mapped


def _warn_of_sites(site: pd.Series, origin: Origin, column: str) -> None:
    counts = site.value_counts()
    warn_of_spellings(counts.index, origin, column, "sites")
    for name in sorted(counts.index):
        if name.upper() in _NO_SITE:
            _log.warning(
                "%s, column %s: %r in %d rows is taken for a site; name the site, or remove the "
                "rows if it is not known", origin.label, column, name, counts[name],
            )  # fmt: skip


def _refuse_repeated(ids: pd.Series, table: pd.DataFrame, origin: Origin, column: str) -> None:
    problem = "stands in an earlier row already"
    repeated = ids.duplicated()
    refuse(
        repeated & table.duplicated(),
        table[column],
        origin,
        f"{problem}, with the same cells",
        "remove the row that repeats it",
    )
    refuse(
        repeated,
        table[column],
        origin,
        problem,
        "two rows are two episodes: give each an id of its own, or have them numbered "
        f"(own_episodes.columns.episode_id: null and own_episodes.leave_out: [{column}])",
    )


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
