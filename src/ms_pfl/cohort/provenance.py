"""What is known of how an episodes table came about, kept beside the table as plain JSON.

A provenance has the keys ``data`` (:func:`ms_pfl.provenance.data_digest` of the table), ``source``
(``kind``, ``description``, and where known ``outcome`` and ``site``, in words), ``vocabulary``
(:class:`ms_pfl.cohort.custom.vocabulary.Vocabulary` of a custom table), and ``attrition``,
``attrition_by_country`` and ``prevalence`` (rows). What is not known is None. That of a custom
table also has ``readings``, the rows of the report of how its file was read.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ms_pfl.cohort.custom.vocabulary import Vocabulary
from ms_pfl.cohort.episodes import Cohort
from ms_pfl.cohort.parameters import CohortParameters, OwnEpisodesParameters
from ms_pfl.errors import InputError
from ms_pfl.provenance import data_digest

_OUTCOMES = {
    "state_near_two_years": "confirmed EDSS worsening about {} days after the visit ({})",
    "first_confirmed_event": "first confirmed EDSS worsening within {} days of the visit ({})",
}
_FLOW = ("attrition", "attrition_by_country", "prevalence")


def registry_provenance(
    cohort: Cohort, source: Mapping[str, str], parameters: CohortParameters
) -> dict[str, Any]:
    """Return the provenance of the episodes of a registry.

    Args:
        cohort: the episodes, with the way to them.
        source: of the registry's tables.
        parameters: the outcome.
    """
    rule = parameters.rule.replace("_", " ")
    outcome = _OUTCOMES[parameters.outcome].format(parameters.horizon_days, rule)
    tables = {name: getattr(cohort, name).astype(object) for name in _FLOW}
    return _provenance(cohort.episodes, {**source, "outcome": outcome}) | {
        name: table.where(table.notna(), None).to_dict(orient="records")
        for name, table in tables.items()
    }


def custom_table_provenance(
    episodes: pd.DataFrame,
    vocabulary: Vocabulary,
    parameters: OwnEpisodesParameters,
    description: str,
) -> dict[str, Any]:
    """Return the provenance of the episodes of a custom table; ``description`` is of the data."""
    positive = "1" if parameters.positive is None else parameters.positive
    source = {
        "kind": "own",
        "description": description,
        "outcome": parameters.outcome or f"{parameters.columns.label} ({positive})",
        "site": parameters.site_name,
    }
    return _provenance(episodes, source, vocabulary.model_dump(mode="json"))


def earlier_provenance(episodes: pd.DataFrame, path: Path) -> dict[str, Any]:
    """Return the provenance that a file holds, if it is of these episodes, else what is known.

    Args:
        episodes: as they were saved.
        path: of the file, which may be absent.
    """
    unknown = _provenance(episodes, {"kind": "own", "description": "own episodes table"})
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return dict(known) if known.get("data") == unknown["data"] else unknown


def check_provenance(episodes: pd.DataFrame, provenance: Mapping[str, Any]) -> None:
    """Raise an InputError where a provenance is that of other episodes."""
    if provenance["data"] != data_digest(episodes):
        raise InputError(
            "the episodes are not those whose provenance is recorded beside them; run `kedro run "
            "--pipeline=modelling` to go on from this table, or make both again"
        )


def _provenance(
    episodes: pd.DataFrame, source: Mapping[str, str], vocabulary: dict[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "data": data_digest(episodes),
        "source": dict(source),
        "vocabulary": vocabulary,
        **dict.fromkeys(_FLOW),
    }
