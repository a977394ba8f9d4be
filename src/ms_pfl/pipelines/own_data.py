"""A multi-site table of one's own -> episodes and the vocabulary they are encoded with."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from kedro.pipeline import Node, Pipeline

from ms_pfl.cohort.custom.parameters import OwnEpisodesParameters
from ms_pfl.errors import InputError
from ms_pfl.federation.partitions import feature_columns

_log = logging.getLogger(__name__)


def read_own_episodes(
    episodes_file: str | None,
    parameters: OwnEpisodesParameters,
    heart_folder: str | None,
    heart_rows: Literal["complete", "all"],
    earlier_episodes: Path,
    earlier_provenance: Path,
) -> tuple[dict[str, Any], pd.DataFrame, dict[str, Any]]:
    """Read and encode the table that is given, or go on from the episodes that are there.

    Args:
        episodes_file: a .csv or .parquet file, which comes before the others.
        parameters: its column map, and what is done with categories and missing values.
        heart_folder: the files of UCI Heart Disease.
        heart_rows: which of their rows and columns are taken.
        earlier_episodes: what an earlier run left, or a user has put there.
        earlier_provenance: what an earlier run recorded of its episodes.

    Returns:
        The provenance of the episodes, ``episodes``, and the vocabulary of their features.

    Raises:
        InputError: a file, column or value cannot be used, or nothing is there to go on from.
    """
    from ms_pfl.cohort.custom.table import own_episodes, read_file
    from ms_pfl.cohort.provenance import custom_table_provenance
    from ms_pfl.registry.importers import heart_disease

    if episodes_file is not None:
        table, origin = read_file(episodes_file)
        description = f"own episodes table {Path(episodes_file).name}"
    elif heart_folder is not None:
        table, origin = heart_disease.read_hospitals(Path(heart_folder).expanduser(), heart_rows)
        description = heart_disease.DESCRIPTIONS[heart_rows]
    else:
        return _resume(earlier_episodes, earlier_provenance)
    episodes, vocabulary = own_episodes(table, origin, parameters)
    _log.info(
        "Own table: %s rows of %d sites; %d columns, %d of them categorical, became %d features",
        f"{len(episodes):,}", episodes["country"].nunique(), len(vocabulary.columns),
        len(vocabulary.levels), len(feature_columns(episodes)),
    )  # fmt: skip
    provenance = custom_table_provenance(episodes, vocabulary, parameters, description)
    return provenance, episodes, vocabulary.model_dump(mode="json")


def _resume(
    earlier_episodes: Path, recorded: Path
) -> tuple[dict[str, Any], pd.DataFrame, dict[str, Any]]:
    from ms_pfl.cohort.custom.episodes import read_episodes
    from ms_pfl.cohort.custom.vocabulary import Vocabulary
    from ms_pfl.cohort.provenance import earlier_provenance

    if not earlier_episodes.is_file():
        raise InputError(
            f"There are no episodes in {earlier_episodes}: name a table of your own with "
            "--params=episodes_file=FILE, or make them of a registry with `kedro run "
            "--pipeline=preprocessing`"
        )
    episodes = read_episodes(pd.read_parquet(earlier_episodes))
    provenance = earlier_provenance(episodes, recorded)
    names = tuple(feature_columns(episodes))
    numbers = Vocabulary(columns=names, levels={}, numbers=tuple(sorted(names)), missing=())
    return provenance, episodes, provenance["vocabulary"] or numbers.model_dump(mode="json")


def create_pipeline() -> Pipeline:
    """``params:episodes_file`` (or what there is instead) -> ``episodes``, ``vocabulary``."""
    return Pipeline(
        [
            Node(
                func=read_own_episodes,
                inputs=[
                    "params:episodes_file",
                    "params:own_episodes",
                    "params:heart_folder",
                    "params:heart_rows",
                    "earlier_episodes",
                    "earlier_provenance",
                ],
                outputs=["episodes_provenance", "episodes", "vocabulary"],
                name="read_own_episodes",
            )
        ]
    )
