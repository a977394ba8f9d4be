"""Nodes of the reporting."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ms_pfl.evaluation.parameters import ComparisonParameters
from ms_pfl.federation.parameters import ProtocolParameters


def make_tables(
    summary: pd.DataFrame,
    coverage: pd.DataFrame,
    estimates: pd.DataFrame,
    differences: pd.DataFrame,
    cohort: dict[str, Any],
    split_counts: pd.DataFrame,
    protocol: Any,
    comparison: ComparisonParameters,
) -> tuple[pd.DataFrame, list[str], list[str], pd.DataFrame]:
    """Lay out Table 1 with the sentences above and below it, and ROC-AUC country by country."""
    from ms_pfl.reporting.headline import headline
    from ms_pfl.reporting.sites import per_country_table
    from ms_pfl.reporting.table1 import notes, table1
    from ms_pfl.reporting.words import site_words

    countries = pd.DataFrame(cohort["countries"])
    sites = site_words(cohort["source"])
    protocol = ProtocolParameters.of(protocol).model_dump()
    return (
        table1(summary),
        notes(coverage, cohort["source"], split_counts, protocol),
        headline(estimates, differences, sites, len(coverage), comparison.replicates),
        per_country_table(summary, countries, site=sites[0]),
    )


def write_report(**given: Any) -> dict[str, Any]:
    """Write the report as one HTML page, and hand on its figures, each drawn once.

    Args:
        given: the datasets that the sections to be shown are made from, by name; the history of
            each training as ``<paradigm>_<strategy>_history``.

    Returns:
        ``report``, ``figures`` (the names of those on the page) and ``figure_<name>`` for all
        figures that the sections draw, ``""`` where there is nothing to draw.
    """
    from ms_pfl.parameters import plain
    from ms_pfl.provenance import data_digest, source_digest
    from ms_pfl.reporting.page import build_report
    from ms_pfl.reporting.sections import made_from

    histories = [table for name, table in given.items() if name.endswith("_history")]
    given |= {
        "history": pd.concat(histories, ignore_index=True),
        "parameters": plain(given["parameters"]),
    }
    page, drawn = build_report(
        given, {"data": data_digest(given["episodes"]), "code": source_digest()}
    )
    figures = [name for section in made_from(given) for name in section.figures]
    return {
        "report": page,
        "figures": list(drawn),
        **{f"figure_{name}": drawn.get(name, "") for name in figures},
    }


def collect_for_mlflow(**given: Any) -> Any:
    """Bring together what MLflow keeps, as a :class:`ms_pfl.tracking.record.RunRecord`.

    Args:
        given: the datasets that the record is made from, by name; the history and the models of
            each training as ``<paradigm>_<strategy>_history`` and ``<paradigm>_<strategy>_models``.
            The files of ``report`` and ``figures`` are kept too, so they have to be there first.
    """
    from ms_pfl.federation.partitions import feature_columns
    from ms_pfl.paradigms import trainings
    from ms_pfl.parameters import plain
    from ms_pfl.tracking.record import TABLES, build_record

    fits = [training for training in trainings() if f"{training.argument}_models" in given]
    return build_record(
        {name: given[name] for name in TABLES},
        given["headline"],
        given["table1_notes"],
        given["figures"],
        given["episodes"],
        given["splits"],
        given["cohort_description"]["source"]["description"],
        feature_columns(given["episodes"]),
        plain(given["parameters"])["training"],
        given["predictor"],
        [given[f"{training.argument}_history"] for training in fits],
        {training: given[f"{training.argument}_models"] for training in fits},
    )
