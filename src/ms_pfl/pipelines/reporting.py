"""The tables of the comparison -> Table 1, figures, ``report.html`` and the runs in MLflow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline

from ms_pfl.evaluation.parameters import ComparisonParameters
from ms_pfl.federation.parameters import ProtocolParameters
from ms_pfl.paradigms import Family, Training, trainings
from ms_pfl.pipelines.training import outputs_of
from ms_pfl.reporting.sections import ALWAYS, made_from, shown
from ms_pfl.tracking.record import TABLES


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
    from ms_pfl.reporting import headline, sites, table1, words

    countries = pd.DataFrame(cohort["countries"])
    names = words.site_words(cohort["source"])
    protocol = ProtocolParameters.of(protocol).model_dump()
    return (
        table1.table1(summary),
        table1.notes(coverage, cohort["source"], split_counts, protocol),
        headline.headline(estimates, differences, names, len(coverage), comparison.replicates),
        sites.per_country_table(summary, countries, site=names[0]),
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
    from ms_pfl.tracking.record import build_record

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


_RECORDED = (
    *TABLES,
    "headline",
    "table1_notes",
    "report",
    "figures",
    "episodes",
    "splits",
    "cohort_description",
    "parameters",
    "predictor",
)


def create_pipeline(*families: Family) -> Pipeline:
    """What the evaluation found, and ``*.history``, -> what a person reads.

    Args:
        families: of the trainings that are shown.
    """
    trained = trainings(*families)
    return create_report_pipeline(trained) + Pipeline(
        [
            Node(
                func=make_tables,
                inputs=[
                    "summary",
                    "coverage",
                    "estimates",
                    "differences",
                    "cohort_description",
                    "split_counts",
                    "params:training.protocol",
                    "params:comparison",
                ],
                outputs=["table1", "table1_notes", "headline", "roc_auc_by_country"],
                name="make_tables",
            ),
            Node(
                func=collect_for_mlflow,
                inputs={name: name for name in _RECORDED}
                | {
                    f"{name}_{kind}": dataset
                    for kind in ("history", "models")
                    for name, dataset in outputs_of(kind, trained).items()
                },
                outputs="mlflow_run",
                name="log_to_mlflow",
            ),
        ]
    )


def create_recording_pipeline() -> Pipeline:
    """What a finished run has left in ``data/`` -> a run in MLflow."""
    return create_pipeline("study").only_nodes("log_to_mlflow")


def create_report_pipeline(trained: Iterable[Training], *extra: str) -> Pipeline:
    """What the evaluation found -> ``report.html`` and its figures.

    Args:
        trained: the trainings that are shown.
        extra: names of the sections that this report shows beside those of every report.
    """
    sections = shown(*extra)
    needs = {name for section in sections for name in section.needs} | set(ALWAYS)
    figures = [f"figure_{name}" for section in sections for name in section.figures]
    histories = {f"{name}_history": data for name, data in outputs_of("history", trained).items()}
    return Pipeline(
        [
            Node(
                func=write_report,
                inputs={name: name for name in sorted(needs - {"history"})} | histories,
                outputs={name: name for name in ("report", "figures", *figures)},
                name="write_report",
            )
        ]
    )
