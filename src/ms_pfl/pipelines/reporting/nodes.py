"""Nodes of the reporting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

import ms_pfl
from ms_pfl.evaluation.parameters import ComparisonParameters
from ms_pfl.federation.parameters import ProtocolParameters
from ms_pfl.paradigms import Training


def make_tables(
    summary: pd.DataFrame,
    coverage: pd.DataFrame,
    estimates: pd.DataFrame,
    differences: pd.DataFrame,
    cohort: dict[str, Any],
    split_counts: pd.DataFrame,
    protocol: ProtocolParameters,
    comparison: ComparisonParameters,
) -> tuple[pd.DataFrame, list[str], list[str], pd.DataFrame]:
    """Lay out Table 1 with the sentences above and below it, and ROC-AUC country by country."""
    from ms_pfl.reporting.headline import headline
    from ms_pfl.reporting.tables import notes, per_country_table, site_words, table1

    countries = pd.DataFrame(cohort["countries"])
    sites = site_words(cohort["source"])
    return (
        table1(summary),
        notes(coverage, cohort["source"], split_counts, protocol.model_dump()),
        headline(estimates, differences, sites, len(coverage), comparison.replicates),
        per_country_table(summary, countries, site=sites[0]),
    )


#: The figures of the report, as datasets ``figure_<name>`` and files ``<name>.png``.
FIGURES = (
    "country_sizes",
    "learning_curves",
    "gain_by_country",
    "roc_and_pr",
    "reliability",
    "net_benefit",
    "importance",
)


def draw_figures(
    cohort: dict[str, Any], findings: dict[str, Any], **histories: pd.DataFrame
) -> tuple[Any, ...]:
    """Draw the figures of the report as files of their own; the names of all are the last."""
    from ms_pfl.evaluation.curves import learning_curves
    from ms_pfl.reporting import curve_figures, figures
    from ms_pfl.reporting.report import shown_strategy
    from ms_pfl.reporting.tables import site_words
    from ms_pfl.studies.attribution.show import draw_importance

    countries = pd.DataFrame(cohort["countries"])
    strategy = shown_strategy(findings["summary"])
    coverage = findings["coverage"]
    prevalence = float((coverage["n_positive"] / coverage["n_episodes"]).mean())
    history = pd.concat(histories.values(), ignore_index=True)
    drawn = {
        "country_sizes": figures.country_sizes(countries, site_words(cohort["source"])),
        "learning_curves": figures.learning_curves(learning_curves(history)),
        "gain_by_country": curve_figures.forest(findings["differences"], countries),
        "roc_and_pr": curve_figures.roc_and_pr(findings["operating_curves"], prevalence, strategy),
        "reliability": curve_figures.reliability_diagrams(findings["reliability"], strategy),
        "net_benefit": curve_figures.decision_curve(findings["net_benefit"], strategy),
        "importance": draw_importance(findings["importance"], findings["attribution_by_country"]),
    }
    flow = ["attrition", "attrition_by_country"] if cohort["attrition"] is not None else []
    return (*(drawn[name] for name in FIGURES), [*FIGURES, *flow])


def write_report(
    findings: dict[str, Any],
    cohort: dict[str, Any],
    split_counts: pd.DataFrame,
    episodes: pd.DataFrame,
    configuration: dict[str, Any],
    new_country_estimates: pd.DataFrame | None = None,
    new_country_differences: pd.DataFrame | None = None,
    **histories: pd.DataFrame,
) -> str:
    """Write the report as one HTML page, with countries left out where they have been."""
    from ms_pfl.parameters import plain
    from ms_pfl.provenance import data_digest, source_digest
    from ms_pfl.reporting.report import Findings, build_report

    history = pd.concat(histories.values(), ignore_index=True)
    left_out = None
    if new_country_estimates is not None and new_country_differences is not None:
        left_out = (new_country_estimates, new_country_differences)
    return build_report(
        Findings(history=history, new_country=left_out, **findings),
        cohort,
        split_counts,
        plain(configuration),
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
    attribution_by_country: pd.DataFrame,
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
    figures: list[str],
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    cohort: dict[str, Any],
    configuration: dict[str, Any],
    predictor: Path,
    **trained: Any,
) -> dict[str, Any]:
    """Bring together what MLflow keeps.

    Args:
        metrics: a row a fit, scope, country and metric.
        table1: Table 1.
        notes: the sentences below it.
        by_country: ROC-AUC by country.
        findings: the tables of the comparison.
        report: the HTML page; its file is kept with the run, so it has to be there first.
        figures: names of the figures, whose files have to be there first too.
        episodes: the episodes table.
        splits: the splits table.
        cohort: ``source`` says where it is from.
        configuration: the parameters of the run.
        predictor: its folder, where there is one.
        trained: ``<paradigm>_<strategy>_history`` and ``<paradigm>_<strategy>_models``.
    """
    from ms_pfl.federation.partitions import feature_columns
    from ms_pfl.paradigms import trainings
    from ms_pfl.parameters import plain
    from ms_pfl.reporting.markdown import markdown_text, to_markdown
    from ms_pfl.tracking.data import describe_data
    from ms_pfl.tracking.models import example_rows

    told = plain(configuration)
    seed = int(metrics["seed"].min())
    features = feature_columns(episodes)
    headlines, below = (
        [markdown_text(line) for line in lines] for lines in (findings["headline"], notes)
    )
    tables = ("estimates", "differences", "fairness", "net_benefit", "subgroup_metrics")
    fits = [training for training in trainings() if f"{training.argument}_models" in trained]
    source = cohort["source"]["description"]
    example = example_rows(episodes, features)
    return {
        "metrics": metrics,
        "history": pd.concat(
            [trained[f"{training.argument}_history"] for training in fits], ignore_index=True
        ),
        "tables": {
            "table1": table1,
            "roc_auc_by_country": by_country,
            "metrics": metrics,
            **{name: findings[name] for name in tables},
        },
        "figures": figures,
        "note": "\n\n".join([*headlines, to_markdown(table1), *below]),
        "estimates": findings["estimates"],
        "gains": findings["differences"],
        "data": describe_data(episodes, splits, source),
        # a model that is scaled by its country's training rows cannot be kept without them
        "models": []
        if told["training"]["protocol"]["scaling"] == "country"
        else [
            _model_to_log(training, seed, trained[f"{training.argument}_models"], features, told)
            for training in fits
        ],
        "example": example,
        "predictor": predictor_to_log(predictor, example),
    }


def predictor_to_log(folder: Path, example: pd.DataFrame) -> Any:
    """The predictor as an MLflow model; None where the run has left none."""
    from ms_pfl.tracking.models import FolderToLog

    if not folder.is_dir():
        return None
    return FolderToLog(
        "Predictor for new patients",
        Path(ms_pfl.__path__[0]) / "tracking" / "served_predictor.py",
        "predictor",
        folder,
        example,
        {"risk": "double", "risk_low": "double", "risk_high": "double", "model": "string"},
    )


def _model_to_log(
    training: Training,
    seed: int,
    arrays: dict[str, Any],
    features: list[str],
    configuration: dict[str, Any],
) -> Any:
    from ms_pfl.tracking.models import ModelToLog

    return ModelToLog(
        *training,
        seed,
        Path(ms_pfl.__path__[0]) / "tracking" / "served_model.py",
        {
            name: array
            for name, array in arrays.items()
            if not name.startswith("seed=") or name.startswith(f"seed={seed}/")
        },
        {
            "seed": seed,
            "features": features,
            "training": list(training),
            "settings": configuration["training"],
        },
    )
