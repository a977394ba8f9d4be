"""Nodes of the reporting."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ms_pfl.federation.parameters import ProtocolParameters


def make_tables(
    summary: pd.DataFrame,
    coverage: pd.DataFrame,
    cohort: dict[str, Any],
    split_counts: pd.DataFrame,
    protocol: ProtocolParameters,
) -> tuple[pd.DataFrame, list[str], pd.DataFrame]:
    """Lay out Table 1 with the sentences below it, and ROC-AUC country by country."""
    from ms_pfl.reporting.tables import notes, per_country_table, site_words, table1

    countries = pd.DataFrame(cohort["countries"])
    return (
        table1(summary),
        notes(coverage, cohort["source"], split_counts, protocol.model_dump()),
        per_country_table(summary, countries, site=site_words(cohort["source"])[0]),
    )


def draw_figures(
    metrics: pd.DataFrame, cohort: dict[str, Any], **histories: pd.DataFrame
) -> tuple[Any, Any, Any]:
    """Draw the countries' sizes, the learning curves, and the gain over federated by country."""
    from ms_pfl.evaluation.comparison import gains
    from ms_pfl.evaluation.curves import learning_curves
    from ms_pfl.reporting import figures
    from ms_pfl.reporting.tables import site_words

    countries = pd.DataFrame(cohort["countries"])
    curves = learning_curves(pd.concat(histories.values(), ignore_index=True))
    return (
        figures.country_sizes(countries, site_words(cohort["source"])),
        figures.learning_curves(curves),
        figures.gain_by_country(gains(metrics, "federated", "roc_auc", "country"), countries),
    )


def write_report(
    metrics: pd.DataFrame,
    summary: pd.DataFrame,
    coverage: pd.DataFrame,
    cohort: dict[str, Any],
    split_counts: pd.DataFrame,
    configuration: dict[str, Any],
    **histories: pd.DataFrame,
) -> str:
    """Write the report as one HTML page."""
    from pydantic import BaseModel

    from ms_pfl.reporting.report import build_report

    plain = {
        name: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        for name, value in configuration.items()
    }
    return build_report(
        metrics,
        summary,
        coverage,
        pd.concat(histories.values(), ignore_index=True),
        cohort,
        split_counts,
        plain,
    )


def collect_for_mlflow(
    metrics: pd.DataFrame,
    table1: pd.DataFrame,
    notes: list[str],
    by_country: pd.DataFrame,
    report: str,
    **histories: pd.DataFrame,
) -> dict[str, Any]:
    """Bring together what MLflow keeps.

    Args:
        metrics: a row a fit, scope, country and metric.
        table1: Table 1.
        notes: the sentences below it.
        by_country: ROC-AUC by country.
        report: the HTML page; its file is kept with the run, so it has to be there first.
        histories: the history table of each training.
    """
    from ms_pfl.reporting.tables import to_markdown

    return {
        "metrics": metrics,
        "history": pd.concat(histories.values(), ignore_index=True),
        "tables": {"table1": table1, "roc_auc_by_country": by_country, "metrics": metrics},
        "note": "\n\n".join([to_markdown(table1), *notes]),
    }
