"""Train with each published choice, and measure what it is worth.

::

    episodes ──► train_<variant> ──► audit.<variant>.predictions ──► measure ──► audit ──► show
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline

from ms_pfl.cohort.parameters import SplitFractions
from ms_pfl.federation.parameters import CheckpointParameters, RayParameters
from ms_pfl.learning.parameters import Device
from ms_pfl.paradigms import Training, model_name
from ms_pfl.pipelines.preprocessing import split
from ms_pfl.pipelines.training import COMPUTE
from ms_pfl.studies.protocol_audit.parameters import AuditParameters
from ms_pfl.studies.protocol_audit.variants import VARIANTS, protocol_of
from ms_pfl.training.settings import TrainingSettings


def trainer(variant: str) -> Callable[..., pd.DataFrame]:
    """The node function that trains what a variant of the protocol acts on."""

    def train_variant(
        episodes: pd.DataFrame,
        unfinished: Any,
        seeds: Sequence[int],
        fractions: SplitFractions,
        settings: TrainingSettings,
        device: Device,
        ray: RayParameters,
        checkpoints: CheckpointParameters,
    ) -> pd.DataFrame:
        """Train, with a line a model on the console; returns predictions, named by variant."""
        from ms_pfl.console import TrainingProgress
        from ms_pfl.reporting.protocol import variant_name
        from ms_pfl.studies.protocol_audit.train import train_variant
        from ms_pfl.training.simulation import Compute

        def follow(training: Training) -> TrainingProgress:
            return TrainingProgress(f"{variant_name(variant)}: {model_name(*training)}")

        splits, _ = split(episodes, seeds, fractions, protocol_of(variant))
        compute = Compute(ray, device, unfinished, checkpoints.every_rounds)
        return train_variant(variant, episodes, splits, settings, compute, follow)

    train_variant.__name__ = f"train_{variant}"
    return train_variant


def measure(parameters: AuditParameters, **predictions: pd.DataFrame) -> pd.DataFrame:
    """What each choice adds to ROC-AUC, with a 95 % interval."""
    from ms_pfl.studies.protocol_audit.compare import measure as measure_audit

    table = pd.concat([predictions[variant] for variant in VARIANTS], ignore_index=True)
    return measure_audit(table, parameters.replicates, parameters.seed)


def show(audit: pd.DataFrame, cohort: dict[str, Any]) -> tuple[pd.DataFrame, str, Any]:
    """Lay the audit out as a table, as a Markdown page, and as a figure."""
    from ms_pfl.studies.protocol_audit.show import audit_page, audit_table, draw_audit

    table = audit_table(audit)
    return table, audit_page(table, cohort["source"]), draw_audit(audit)


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
