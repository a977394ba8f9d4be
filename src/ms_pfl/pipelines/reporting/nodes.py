"""Nodes of the reporting."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ms_pfl.federation.parameters import ProtocolParameters


def make_tables(
    summary: pd.DataFrame,
    coverage: pd.DataFrame,
    estimates: pd.DataFrame,
    differences: pd.DataFrame,
    cohort: dict[str, Any],
    split_counts: pd.DataFrame,
    protocol: ProtocolParameters,
) -> tuple[pd.DataFrame, list[str], list[str], pd.DataFrame]:
    """Lay out Table 1 with the sentences above and below it, and ROC-AUC country by country."""
    from ms_pfl.reporting.headline import headline
    from ms_pfl.reporting.tables import notes, per_country_table, site_words, table1

    countries = pd.DataFrame(cohort["countries"])
    sites = site_words(cohort["source"])
    return (
        table1(summary),
        notes(coverage, cohort["source"], split_counts, protocol.model_dump()),
        headline(estimates, differences, sites, len(coverage)),
        per_country_table(summary, countries, site=sites[0]),
    )


def draw_figures(
    cohort: dict[str, Any],
    coverage: pd.DataFrame,
    differences: pd.DataFrame,
    operating_curves: pd.DataFrame,
    reliability: pd.DataFrame,
    net_benefit: pd.DataFrame,
    **histories: pd.DataFrame,
) -> tuple[Any, ...]:
    """Draw the figures of the report as files of their own."""
    from ms_pfl.evaluation.curves import learning_curves
    from ms_pfl.reporting import curve_figures, figures
    from ms_pfl.reporting.report import shown_strategy
    from ms_pfl.reporting.tables import site_words

    countries = pd.DataFrame(cohort["countries"])
    strategy = shown_strategy(reliability)
    prevalence = float((coverage["n_positive"] / coverage["n_episodes"]).mean())
    return (
        figures.country_sizes(countries, site_words(cohort["source"])),
        figures.learning_curves(learning_curves(pd.concat(histories.values(), ignore_index=True))),
        curve_figures.forest(differences, countries),
        curve_figures.roc_and_pr(operating_curves, prevalence, strategy),
        curve_figures.reliability_diagrams(reliability, strategy),
        curve_figures.decision_curve(net_benefit, strategy),
    )


def write_report(
    findings: dict[str, Any],
    cohort: dict[str, Any],
    split_counts: pd.DataFrame,
    episodes: pd.DataFrame,
    configuration: dict[str, Any],
    **histories: pd.DataFrame,
) -> str:
    """Write the report as one HTML page."""
    from pydantic import BaseModel

    from ms_pfl.provenance import data_digest, source_digest
    from ms_pfl.reporting.report import Findings, build_report

    plain = {
        name: value.model_dump(mode="json") if isinstance(value, BaseModel) else value
        for name, value in configuration.items()
    }
    history = pd.concat(histories.values(), ignore_index=True)
    return build_report(
        Findings(history=history, **findings),
        cohort,
        split_counts,
        plain,
        {"data": data_digest(episodes), "code": source_digest()},
    )


def gather_findings(
    headline: list[str],
    summary: pd.DataFrame,
    coverage: pd.DataFrame,
    estimates: pd.DataFrame,
    differences: pd.DataFrame,
    fairness: pd.DataFrame,
    net_benefit: pd.DataFrame,
    subgroup_metrics: pd.DataFrame,
    operating_curves: pd.DataFrame,
    reliability: pd.DataFrame,
    importance: pd.DataFrame,
    feature_profiles: pd.DataFrame,
) -> dict[str, Any]:
    """Bring together the tables that report and MLflow are made from."""
    return dict(locals())


def collect_for_mlflow(
    metrics: pd.DataFrame,
    table1: pd.DataFrame,
    notes: list[str],
    by_country: pd.DataFrame,
    findings: dict[str, Any],
    report: str,
    **histories: pd.DataFrame,
) -> dict[str, Any]:
    """Bring together what MLflow keeps.

    Args:
        metrics: a row a fit, scope, country and metric.
        table1: Table 1.
        notes: the sentences below it.
        by_country: ROC-AUC by country.
        findings: the tables of the comparison.
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
