"""Train with each published choice, and measure what it is worth.

::

    episodes ──► train_<variant> ──► audit.<variant>.predictions ──► measure ──► audit ──► show
"""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from ms_pfl.pipelines.audit.nodes import measure, show, trainer
from ms_pfl.pipelines.training.pipeline import COMPUTE
from ms_pfl.studies.protocol_audit.train import VARIANTS


def create_pipeline() -> Pipeline:
    """``episodes`` -> ``audit``, ``audit_table``, ``audit_page``, ``figure_audit``."""
    inputs = {"episodes": "episodes", "unfinished": "unfinished"}
    settings = COMPUTE | {
        "settings": "params:training",
        "seeds": "params:seeds",
        "fractions": "params:splits",
    }
    trainings = Pipeline(
        [
            Node(
                func=trainer(variant),
                inputs=inputs | settings,
                outputs=f"{variant}.predictions",
                name=f"train_{variant}",
            )
            for variant in VARIANTS
        ],
        namespace="audit",
        inputs=inputs,
        parameters={name: name for name in settings.values()},
    )
    return trainings + Pipeline(
        [
            Node(
                func=measure,
                inputs={"parameters": "params:audit"}
                | {variant: f"audit.{variant}.predictions" for variant in VARIANTS},
                outputs="audit",
                name="measure_audit",
            ),
            Node(
                func=show,
                inputs=["audit", "cohort_description"],
                outputs=["audit_table", "audit_page", "figure_audit"],
                name="show_audit",
            ),
        ]
    )
