"""The tables of the comparison -> Table 1, figures, ``report.html`` and the runs in MLflow."""

from __future__ import annotations

from collections.abc import Iterable

from kedro.pipeline import Node, Pipeline

from ms_pfl.paradigms import Family, Training, trainings
from ms_pfl.pipelines.reporting.nodes import (
    FIGURES,
    collect_for_mlflow,
    draw_figures,
    gather_findings,
    make_tables,
    write_report,
)
from ms_pfl.pipelines.training.pipeline import outputs_of

_FINDINGS = (
    "headline",
    "summary",
    "coverage",
    "estimates",
    "differences",
    "fairness",
    "net_benefit",
    "subgroup_metrics",
    "operating_curves",
    "reliability",
    "importance",
    "attribution_by_country",
)


def create_pipeline(*families: Family) -> Pipeline:
    """What the evaluation found, and ``*.history``, -> what a person reads.

    Args:
        families: of the trainings that are shown.
    """
    trained = trainings(*families)
    histories = outputs_of("history", trained)
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
                func=draw_figures,
                inputs={"cohort": "cohort_description", "findings": "findings", **histories},
                outputs=[*(f"figure_{name}" for name in FIGURES), "figures"],
                name="draw_figures",
            ),
            Node(
                func=collect_for_mlflow,
                inputs={
                    "metrics": "metrics",
                    "table1": "table1",
                    "notes": "table1_notes",
                    "by_country": "roc_auc_by_country",
                    "findings": "findings",
                    "report": "report",
                    "figures": "figures",
                    "episodes": "episodes",
                    "splits": "splits",
                    "cohort": "cohort_description",
                    "configuration": "parameters",
                    "predictor": "predictor",
                    **{
                        f"{name}_{kind}": dataset
                        for kind in ("history", "models")
                        for name, dataset in outputs_of(kind, trained).items()
                    },
                },
                outputs="mlflow_run",
                name="log_to_mlflow",
            ),
        ]
    )


def create_recording_pipeline() -> Pipeline:
    """What a finished run has left in ``data/`` -> a run in MLflow."""
    return create_pipeline("study").only_nodes("gather_findings", "log_to_mlflow")


def create_report_pipeline(trained: Iterable[Training], *further: str) -> Pipeline:
    """What the evaluation found -> ``report.html``; ``further``: datasets of further sections."""
    return Pipeline(
        [
            Node(
                func=gather_findings,
                inputs={name: name for name in _FINDINGS},
                outputs="findings",
                name="gather_findings",
            ),
            Node(
                func=write_report,
                inputs={
                    "findings": "findings",
                    "cohort": "cohort_description",
                    "split_counts": "split_counts",
                    "episodes": "episodes",
                    "configuration": "parameters",
                    **{name: name for name in further},
                    **outputs_of("history", trained),
                },
                outputs="report",
                name="write_report",
            ),
        ]
    )
