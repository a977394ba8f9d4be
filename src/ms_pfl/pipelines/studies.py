"""The studies beside the comparison: attribution, protocol audit, and countries left out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline

from ms_pfl.cohort.parameters import SplitFractions
from ms_pfl.console import TrainingProgress
from ms_pfl.evaluation.parameters import ComparisonParameters
from ms_pfl.federation.parameters import CheckpointParameters, RayParameters
from ms_pfl.learning.parameters import Device
from ms_pfl.paradigms import Training, model_name, trainings
from ms_pfl.pipelines.cohort import split
from ms_pfl.pipelines.reporting import create_report_pipeline
from ms_pfl.pipelines.training import COMPUTE, outputs_of
from ms_pfl.studies.attribution.compare import compare_by_country
from ms_pfl.studies.attribution.models import asked
from ms_pfl.studies.attribution.parameters import AttributionParameters
from ms_pfl.studies.protocol_audit.parameters import AuditParameters
from ms_pfl.studies.protocol_audit.variants import VARIANTS, protocol_of
from ms_pfl.studies.unseen_site.parameters import NewCountryParameters
from ms_pfl.training.settings import TrainingSettings
from ms_pfl.training.simulation import Compute

_log = logging.getLogger(__name__)


def measure_importance(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    cohort: dict[str, Any],
    attribution: AttributionParameters,
    settings: TrainingSettings,
    device: Device,
    **models: dict[str, Any],
) -> pd.DataFrame:
    """Shuffle each group of features among the test episodes of each country.

    Args:
        episodes: the episodes table.
        splits: the splits table.
        cohort: its ``vocabulary`` of a custom table sets the groups; None: the registry cohort's.
        attribution: permutations.
        settings: of the trainings.
        device: to compute on.
        models: saved models by paradigm and strategy, ``<paradigm>_<strategy>``.

    Returns:
        ``importance``: a row a model, seed, country, group and permutation.
    """
    from ms_pfl.cohort.feature_groups import feature_groups
    from ms_pfl.federation.partitions import feature_columns
    from ms_pfl.studies.attribution.importance import importance

    groups = feature_groups(feature_columns(episodes), cohort["vocabulary"])
    by_training = {training: models[training.argument] for training in asked()}
    return importance(episodes, splits, by_training, groups, settings, attribution, device)


def create_attribution_pipeline() -> Pipeline:
    """What the global and the personal models use.

    ::

        episodes, splits, <paradigm>.<strategy>.models ──► measure_importance ──► importance
                                        attribution_by_country ◄── compare_countries ◄┘
    """
    return Pipeline(
        [
            Node(
                func=measure_importance,
                inputs={
                    "episodes": "episodes",
                    "splits": "splits",
                    "cohort": "cohort_description",
                    "attribution": "params:attribution",
                    "settings": "params:training",
                    "device": "params:device",
                    **outputs_of("models", asked()),
                },
                outputs="importance",
                name="measure_importance",
            ),
            Node(
                func=compare_by_country,
                inputs="importance",
                outputs="attribution_by_country",
                name="compare_countries",
            ),
        ]
    )


def variant_trainer(variant: str) -> Callable[..., pd.DataFrame]:
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
        from ms_pfl.reporting.protocol import variant_name
        from ms_pfl.studies.protocol_audit.train import train_variant

        def follow(training: Training) -> TrainingProgress:
            return TrainingProgress(f"{variant_name(variant)}: {model_name(*training)}")

        splits, _ = split(episodes, seeds, fractions, protocol_of(variant))
        compute = Compute(ray, device, unfinished, checkpoints.every_rounds)
        return train_variant(variant, episodes, splits, settings, compute, follow)

    train_variant.__name__ = f"train_{variant}"
    return train_variant


def measure_audit(parameters: AuditParameters, **predictions: pd.DataFrame) -> pd.DataFrame:
    """What each choice adds to ROC-AUC, with a 95 % interval."""
    from ms_pfl.studies.protocol_audit.compare import measure

    table = pd.concat([predictions[variant] for variant in VARIANTS], ignore_index=True)
    return measure(table, parameters.replicates, parameters.seed)


def show_audit(audit: pd.DataFrame, cohort: dict[str, Any]) -> tuple[pd.DataFrame, str, Any]:
    """Lay the audit out as a table, as a Markdown page, and as a figure."""
    from ms_pfl.studies.protocol_audit.show import audit_page, audit_table, draw_audit

    table = audit_table(audit)
    return table, audit_page(table, cohort["source"]), draw_audit(audit)


def create_audit_pipeline() -> Pipeline:
    """Train with each published choice, and measure what it is worth.

    ::

        episodes ──► train_<variant> ──► audit.<variant>.predictions ──► measure_audit ──► audit
                          audit_table, audit_page, figure_audit ◄── show_audit ◄─────────────┘
    """
    inputs = {"episodes": "episodes", "unfinished": "unfinished"}
    settings = COMPUTE | {
        "settings": "params:training",
        "seeds": "params:seeds",
        "fractions": "params:splits",
    }
    trainings = Pipeline(
        [
            Node(
                func=variant_trainer(variant),
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
                func=measure_audit,
                inputs={"parameters": "params:audit"}
                | {variant: f"audit.{variant}.predictions" for variant in VARIANTS},
                outputs="audit",
                name="measure_audit",
            ),
            Node(
                func=show_audit,
                inputs=["audit", "cohort_description"],
                outputs=["audit_table", "audit_page", "figure_audit"],
                name="show_audit",
            ),
        ]
    )


def leave_countries_out(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    unfinished: Any,
    new_country: NewCountryParameters,
    settings: TrainingSettings,
    device: Device,
    ray: RayParameters,
    checkpoints: CheckpointParameters,
    **federated_models: dict[str, Any],
) -> pd.DataFrame:
    """Train without each country in turn, with progress on the console.

    ``federated_models``: those of the run in which all took part, by ``federated_<strategy>``.
    """
    from ms_pfl.studies.unseen_site.train import leave_one_out

    title = model_name("federated", new_country.strategy)
    return leave_one_out(
        episodes,
        splits,
        settings,
        new_country,
        Compute(ray, device, unfinished, checkpoints.every_rounds),
        federated_models[f"federated_{new_country.strategy}"],
        lambda country: TrainingProgress(f"Without {country}: {title}"),
    )


def measure_new_countries(
    predictions: pd.DataFrame, test_predictions: pd.DataFrame, comparison: ComparisonParameters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of every model and size, and their differences."""
    from ms_pfl.studies.unseen_site.compare import measure

    return measure(predictions, test_predictions, comparison.replicates, comparison.seed)


def show_new_countries(
    estimates: pd.DataFrame, differences: pd.DataFrame, cohort: dict[str, Any]
) -> pd.DataFrame:
    """Lay out the table, and say what it came to."""
    from ms_pfl.reporting.words import site_words
    from ms_pfl.studies.unseen_site.show import new_country_sentences, new_country_table

    for line in new_country_sentences(estimates, differences, site_words(cohort["source"])):
        _log.info("%s", line)
    return new_country_table(estimates, differences)


def create_new_country_pipeline() -> Pipeline:
    """How well is a country served that never took part, and what do its own patients add?

    ::

        episodes, splits ──► leave_countries_out ──► new_country_predictions
        new_country_predictions, test_predictions (of a pfl run) ──► measure_new_countries
        measure_new_countries ──► new_country_estimates, new_country_differences
        new_country_estimates, new_country_differences ──► figure, table, and the report anew
    """
    tables = ["new_country_estimates", "new_country_differences"]
    return create_report_pipeline(trainings("study"), "unseen_site") + Pipeline(
        [
            Node(
                func=leave_countries_out,
                inputs={name: name for name in ("episodes", "splits", "unfinished")}
                | {"new_country": "params:new_country", "settings": "params:training"}
                | COMPUTE
                | outputs_of("models", trainings("study", paradigm="federated")),
                outputs="new_country_predictions",
                name="leave_countries_out",
            ),
            Node(
                func=measure_new_countries,
                inputs=["new_country_predictions", "test_predictions", "params:comparison"],
                outputs=tables,
                name="measure_new_countries",
            ),
            Node(
                func=show_new_countries,
                inputs=[*tables, "cohort_description"],
                outputs="new_country_table",
                name="show_new_countries",
            ),
        ]
    )
