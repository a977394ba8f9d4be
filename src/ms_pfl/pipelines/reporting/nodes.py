"""Nodes of the reporting."""

from pathlib import Path
from typing import Any

import pandas as pd

from ms_pfl.evaluation.parameters import ComparisonParameters
from ms_pfl.federation.parameters import ProtocolParameters
from ms_pfl.paradigms import Training


def draw_flow(cohort: dict[str, Any]) -> tuple[Any, Any, dict[str, str]]:
    """Draw the flow from the registry to the episodes, and the flow of each country's visits.

    Returns:
        ``figure_attrition`` and ``figure_attrition_by_country`` (``""`` where the flow is not
        known), and ``flow_figures``: both as SVG, by name.
    """
    from ms_pfl.reporting.attrition import draw_flow
    from ms_pfl.reporting.figures import to_svg

    drawn = draw_flow(cohort)
    whole, by_country = (drawn.get(name, "") for name in ("attrition", "attrition_by_country"))
    return whole, by_country, {name: to_svg(figure, name) for name, figure in drawn.items()}


def make_tables(
    findings: dict[str, pd.DataFrame],
    cohort: dict[str, Any],
    split_counts: pd.DataFrame,
    choice: dict[str, Any],
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
    summary, coverage = findings["summary"], findings["coverage"]
    protocol = ProtocolParameters.of(protocol).model_dump()
    return (
        table1(summary),
        notes(coverage, cohort["source"], split_counts, protocol),
        headline(
            findings["estimates"],
            findings["differences"],
            sites,
            len(coverage),
            comparison.margin,
            findings["further_country"],
            choice,
        ),
        per_country_table(summary, countries, site=sites[0]),
    )


def write_report(findings: dict[str, pd.DataFrame], **given: Any) -> dict[str, Any]:
    """Write the report as one HTML page, and hand on its figures, each drawn once.

    Args:
        findings: the tables of the evaluation, by name.
        given: the other datasets that the sections to be shown are made from, by name.

    Returns:
        ``report``, and ``figure_<name>`` for all figures that the sections draw, ``""`` where there
        is nothing to draw.
    """
    from ms_pfl.parameters import plain
    from ms_pfl.provenance import data_digest, source_digest
    from ms_pfl.reporting.page import build_report
    from ms_pfl.reporting.sections import made_from

    given |= findings | {"parameters": plain(given["parameters"])}
    page, drawn = build_report(
        given, {"data": data_digest(given["episodes"]), "code": source_digest()}
    )
    figures = [name for section in made_from(given) for name in section.figures]
    return {
        "report": page,
        **{f"figure_{name}": drawn.get(name, "") for name in figures},
    }


def gather_figures(**figures: Path | None) -> list[str]:
    """Return the names of the figures that were drawn.

    Args:
        figures: file of each figure, None where there was nothing to draw.
    """
    return [name.removeprefix("figure_") for name, path in figures.items() if path is not None]


def collect_for_mlflow(
    findings: dict[str, pd.DataFrame],
    history: pd.DataFrame,
    models: dict[Training, dict[str, Any]],
    **given: Any,
) -> Any:
    """Bring together what MLflow keeps, as a :class:`ms_pfl.tracking.record.RunRecord`.

    Args:
        findings: the tables of the evaluation, by name.
        history: of all trainings.
        models: of all trainings.
        given: the other datasets that the record is made from, by name. The files of ``report`` and
            of the figures are kept too, so they have to be there first.
    """
    from ms_pfl.federation.partitions import feature_columns
    from ms_pfl.parameters import plain
    from ms_pfl.tracking.record import TABLES, build_record

    tables = findings | given
    return build_record(
        {name: tables[name] for name in TABLES},
        given["headline"],
        given["table1_notes"],
        given["figures"],
        given["episodes"],
        given["splits"],
        given["cohort_description"]["source"]["description"],
        feature_columns(given["episodes"]),
        plain(given["parameters"])["training"],
        given["predictor"],
        history,
        models,
    )
