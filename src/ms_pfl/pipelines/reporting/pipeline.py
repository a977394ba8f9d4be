"""Metrics -> Table 1, figures, ``report.html`` and the runs in MLflow."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from ms_pfl.pipelines.reporting.nodes import (
    collect_for_mlflow,
    draw_figures,
    make_tables,
    write_report,
)
from ms_pfl.pipelines.training.pipeline import outputs_of


def create_pipeline() -> Pipeline:
    """``metrics``, ``summary``, ``coverage``, ``*.history`` -> what a person reads."""
    histories = outputs_of("history")
    return Pipeline(
        [
            Node(
                func=make_tables,
                inputs=[
                    "summary",
                    "coverage",
                    "cohort_description",
                    "split_counts",
                    "params:protocol",
                ],
                outputs=["table1", "table1_notes", "roc_auc_by_country"],
                name="make_tables",
            ),
            Node(
                func=draw_figures,
                inputs={"metrics": "metrics", "cohort": "cohort_description", **histories},
                outputs=["figure_country_sizes", "figure_learning_curves", "figure_gain"],
                name="draw_figures",
            ),
            Node(
                func=write_report,
                inputs={
                    "metrics": "metrics",
                    "summary": "summary",
                    "coverage": "coverage",
                    "cohort": "cohort_description",
                    "split_counts": "split_counts",
                    "configuration": "parameters",
                    **histories,
                },
                outputs="report",
                name="write_report",
            ),
            Node(
                func=collect_for_mlflow,
                inputs={
                    "metrics": "metrics",
                    "table1": "table1",
                    "notes": "table1_notes",
                    "by_country": "roc_auc_by_country",
                    "report": "report",
                    **histories,
                },
                outputs="mlflow_run",
                name="log_to_mlflow",
            ),
        ]
    )
