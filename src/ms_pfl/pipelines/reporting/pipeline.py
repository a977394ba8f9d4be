"""The tables of the comparison -> Table 1, figures, ``report.html`` and the runs in MLflow."""

from __future__ import annotations

from collections.abc import Iterable

from kedro.pipeline import Node, Pipeline

from ms_pfl.paradigms import Family, Training, trainings
from ms_pfl.pipelines.reporting.nodes import (
    collect_for_mlflow,
    make_tables,
    write_report,
)
from ms_pfl.pipelines.training.pipeline import outputs_of
from ms_pfl.reporting.sections import ALWAYS, shown
from ms_pfl.tracking.record import TABLES

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
