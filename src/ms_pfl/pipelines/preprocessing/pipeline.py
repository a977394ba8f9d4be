"""Registry tables -> episodes -> splits."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from ms_pfl.pipelines.preprocessing.nodes import (
    build_cohort,
    describe_cohort,
    draw_flow,
    read_registry,
    split,
)

TABLES = ["patients", "visits", "relapses", "treatments"]


def create_pipeline() -> Pipeline:
    """A registry -> ``episodes``, how they came about, and what follows from them alone."""
    cohort = Pipeline(
        [
            Node(
                func=read_registry,
                inputs=[
                    "params:registry_folder",
                    "synthetic_registry",
                    "params:ingest",
                    "params:cohort",
                ],
                outputs=[*TABLES, "registry_source", "ingest_report"],
                name="read_registry",
            ),
            Node(
                func=build_cohort,
                inputs=[*TABLES, "registry_source", "params:cohort"],
                outputs=[
                    "episodes",
                    "attrition",
                    "attrition_by_country",
                    "outcomes",
                    "prevalence",
                ],
                name="build_cohort",
            ),
            Node(
                func=draw_flow,
                inputs=["episodes", "attrition", "attrition_by_country"],
                outputs=["figure_attrition", "figure_attrition_by_country"],
                name="draw_flow",
            ),
        ]
    )
    return cohort + create_partition_pipeline()


def create_partition_pipeline() -> Pipeline:
    """``episodes`` -> ``splits`` and what is counted of them: also where ``modelling`` begins."""
    return Pipeline(
        [
            Node(
                func=split,
                inputs=["episodes", "params:seeds", "params:splits", "params:training.protocol"],
                outputs=["splits", "split_counts"],
                name="split_patients",
            ),
            Node(
                func=describe_cohort,
                inputs="episodes",
                outputs="cohort_description",
                name="describe_cohort",
            ),
        ]
    )
