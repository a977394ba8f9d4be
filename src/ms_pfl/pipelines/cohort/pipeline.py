"""Where the episodes come from: a registry, simulated or your own, or a custom table.

::

    params:synthetic_registry ──► simulate_registry ──► synthetic_registry ─┐
      ┌─────────────────────────────────────────────────────────────────────┘
      └► read_registry ──► patients, visits, relapses, treatments ──► build_cohort ──► episodes
    params:episodes_file ──► read_own_episodes ──► episodes, vocabulary
    episodes ──► split ──► splits
"""

from kedro.pipeline import Node, Pipeline

from ms_pfl.pipelines.cohort.nodes import (
    build_cohort,
    check_tables,
    describe_cohort,
    read_own_episodes,
    read_registry,
    simulate_registry,
    split,
)
from ms_pfl.pipelines.reporting.pipeline import create_flow_pipeline

NAMESPACE = "cohort"
TABLES = ["patients", "visits", "relapses", "treatments"]
_READ = ["registry_source", "future_visit_days"]


def create_synthetic_registry_pipeline() -> Pipeline:
    """``params:synthetic_registry`` -> ``synthetic_registry`` (below ``data/01_raw``)."""
    return Pipeline(
        [
            Node(
                func=simulate_registry,
                inputs=["params:synthetic_registry", "params:registry_folder"],
                outputs="synthetic_registry",
                name="simulate_registry",
            )
        ]
    )


def create_preprocessing_pipeline() -> Pipeline:
    """Return a registry -> ``episodes``, how they came about, and what follows from them alone."""
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
                outputs=[*TABLES, *_READ, "ingest_report"],
                name="read_registry",
                namespace=NAMESPACE,
            ),
            Node(
                func=build_cohort,
                inputs=[*TABLES, *_READ, "params:cohort"],
                outputs=[
                    "episodes_provenance",  # saved first: no episodes without it
                    "episodes",
                    "attrition",
                    "attrition_by_country",
                    "outcomes",
                    "prevalence",
                ],
                name="build_cohort",
                namespace=NAMESPACE,
            ),
        ]
    )
    return cohort + create_partition_pipeline()


def create_check_pipeline() -> Pipeline:
    """Return custom tables -> what stands in their way, and settings that read them."""
    return Pipeline(
        [
            Node(
                func=check_tables,
                inputs=[
                    "params:registry_folder",
                    "params:episodes_file",
                    "params:ingest",
                    "params:own_episodes",
                    "params:cohort",
                    "ingest_profiles",
                ],
                outputs=[
                    "table_problems",
                    "proposed_settings",
                    "table_contribution",
                    "table_check_report",
                ],
                name="check_tables",
                namespace=NAMESPACE,
            )
        ]
    )


def create_partition_pipeline() -> Pipeline:
    """``episodes`` -> ``splits`` and what is counted of them: also where ``modelling`` begins."""
    return create_flow_pipeline() + Pipeline(
        [
            Node(
                func=split,
                inputs=["episodes", "params:seeds", "params:splits", "params:training.protocol"],
                outputs=["splits", "split_counts"],
                name="split_patients",
                namespace=NAMESPACE,
            ),
            Node(
                func=describe_cohort,
                inputs=["episodes", "episodes_provenance"],
                outputs="cohort_description",
                name="describe_cohort",
                namespace=NAMESPACE,
            ),
        ]
    )


def create_own_data_pipeline() -> Pipeline:
    """``params:episodes_file`` (or what there is instead) -> ``episodes``, ``vocabulary``."""
    return Pipeline(
        [
            Node(
                func=read_own_episodes,
                inputs=[
                    "params:episodes_file",
                    "params:own_episodes",
                    "params:heart_folder",
                    "params:heart_rows",
                    "earlier_episodes",
                    "earlier_provenance",
                ],
                outputs=["episodes_provenance", "episodes", "vocabulary", "table_report"],
                name="read_own_episodes",
                namespace=NAMESPACE,
            )
        ]
    )
