"""The findings of the evaluation -> Table 1, figures, ``report.html`` and the runs in MLflow."""

from kedro.pipeline import Node, Pipeline

from ms_pfl.paradigms import Family
from ms_pfl.pipelines.evaluation.pipeline import TABLES as EVALUATION
from ms_pfl.pipelines.evaluation.pipeline import create_findings_pipeline
from ms_pfl.pipelines.reporting.nodes import (
    collect_for_mlflow,
    draw_flow,
    gather_figures,
    make_tables,
    write_report,
)
from ms_pfl.pipelines.training.pipeline import gathering
from ms_pfl.reporting.sections import ALWAYS, shown

NAMESPACE = "reporting"
_ATTRIBUTION = ("importance", "attribution_by_country")
_FLOW = ["figure_attrition", "figure_attrition_by_country"]
_RECORDED = (
    "findings",
    "history",
    "models",
    "table1",
    "table1_notes",
    "roc_auc_by_country",
    "headline",
    "report",
    "figures",
    "episodes",
    "splits",
    "cohort_description",
    "parameters",
    "predictor",
)


def create_pipeline(*families: Family, extra: tuple[str, ...] = ()) -> Pipeline:
    """Make what a person reads from ``findings``, ``history`` and ``models``.

    Args:
        families: of the trainings that are shown.
        extra: names of the sections that the report shows beside those of every report.
    """
    return (
        gathering(("models",), *families)
        + create_report_pipeline(*families, extra=extra)
        + Pipeline(
            [
                Node(
                    func=make_tables,
                    inputs=[
                        "findings",
                        "cohort_description",
                        "split_counts",
                        "prediction_choice",
                        "params:training.protocol",
                        "params:comparison",
                    ],
                    outputs=["table1", "table1_notes", "headline", "roc_auc_by_country"],
                    name="make_tables",
                    namespace=NAMESPACE,
                ),
                Node(
                    func=collect_for_mlflow,
                    inputs={name: name for name in _RECORDED},
                    outputs="mlflow_run",
                    name="log_to_mlflow",
                    namespace=NAMESPACE,
                ),
            ]
        )
    )


def create_recording_pipeline(*families: Family) -> Pipeline:
    """Return what a finished run has left in ``data/`` -> a run in MLflow."""
    recording = create_pipeline(*families).only_nodes(f"{NAMESPACE}.log_to_mlflow")
    gathered = gathering(("history", "models"), *families)
    return gathered + create_findings_pipeline(*_ATTRIBUTION) + recording


def create_flow_pipeline() -> Pipeline:
    """``cohort_description`` -> the figures of the flow from the registry to the episodes."""
    return Pipeline(
        [
            Node(
                func=draw_flow,
                inputs="cohort_description",
                outputs=[*_FLOW, "flow_figures"],
                name="draw_flow",
                namespace=NAMESPACE,
            )
        ]
    )


def create_report_pipeline(*families: Family, extra: tuple[str, ...] = ()) -> Pipeline:
    """Return what the evaluation found -> ``report.html`` and its figures.

    Args:
        families: of the trainings that are shown.
        extra: names of the sections that this report shows beside those of every report.
    """
    sections = shown(*extra)
    findings = {*EVALUATION, *_ATTRIBUTION}
    needs = {name for section in sections for name in section.needs} | set(ALWAYS)
    figures = [f"figure_{name}" for section in sections for name in section.figures]
    drawn = [*figures, *_FLOW]
    return (
        gathering(("history",), *families)
        + create_findings_pipeline(*_ATTRIBUTION)
        + create_flow_pipeline()
        + Pipeline(
            [
                Node(
                    func=write_report,
                    inputs={name: name for name in ("findings", *sorted(needs - findings))},
                    outputs={name: name for name in ("report", *figures)},
                    name="write_report",
                    namespace=NAMESPACE,
                ),
                Node(
                    func=gather_figures,
                    inputs={name: name for name in drawn},
                    outputs="figures",
                    name="gather_figures",
                    namespace=NAMESPACE,
                ),
            ]
        )
    )
