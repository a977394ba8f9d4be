"""Nodes of the studies beside the comparison."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from ms_pfl.cohort.parameters import CohortParameters, SplitFractions
from ms_pfl.errors import InputError
from ms_pfl.evaluation.parameters import ComparisonParameters
from ms_pfl.federation.parameters import CheckpointParameters, RayParameters
from ms_pfl.learning.parameters import Device
from ms_pfl.paradigms import Training, model_name
from ms_pfl.registry.synthetic.parameters import SyntheticRegistryParameters
from ms_pfl.studies.parameters import (
    AttributionParameters,
    AuditParameters,
    HeterogeneityStudyParameters,
    NewCountryParameters,
)
from ms_pfl.studies.protocol_audit.train import VARIANTS, protocol_of, variant_name
from ms_pfl.training.settings import TrainingSettings

_log = logging.getLogger(__name__)


def measure_importance(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    cohort: dict[str, Any],
    models: dict[Training, dict[str, Any]],
    attribution: AttributionParameters,
    settings: TrainingSettings,
    device: Device,
) -> pd.DataFrame:
    """Shuffle each group of features among the test episodes of each country.

    Args:
        episodes: the episodes table.
        splits: the splits table.
        cohort: its ``vocabulary`` of a custom table sets the groups; None: the registry cohort's.
        models: of the trainings that are asked.
        attribution: permutations.
        settings: of the trainings.
        device: to compute on.

    Returns:
        ``importance``: a row per model, seed, country, group and permutation.
    """
    from ms_pfl.cohort.feature_groups import feature_groups
    from ms_pfl.federation.partitions import feature_columns
    from ms_pfl.studies.attribution.importance import importance

    groups = feature_groups(feature_columns(episodes), cohort["vocabulary"])
    return importance(episodes, splits, models, groups, settings, attribution, device)


def tabulate_coefficients(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    models: dict[Training, dict[str, Any]],
    settings: TrainingSettings,
) -> pd.DataFrame:
    """Return the coefficients of the regressions that countries share, with standard errors.

    Args:
        episodes: the episodes table.
        splits: the splits table.
        models: of the regressions.
        settings: of the trainings.

    Returns:
        ``coefficients``: a row per regression, seed and column of the inputs.
    """
    from ms_pfl.studies.coefficients.table import coefficients

    return coefficients(episodes, splits, models, settings)


def tabulate_odds_ratios(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    models: dict[Training, dict[str, Any]],
    settings: TrainingSettings,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Compare values of each feature, with all columns that are made of it, as means over seeds.

    Args:
        episodes: the episodes table.
        splits: the splits table.
        models: of the regressions.
        settings: of the trainings.

    Returns:
        ``odds_ratios``: a row per regression and comparison; ``shape_curves``: a row per
        regression, feature and value.
    """
    from ms_pfl.studies.coefficients.effects import effects

    return effects(episodes, splits, models, settings)


def tabulate_intercepts(
    episodes: pd.DataFrame,
    splits: pd.DataFrame,
    models: dict[Training, dict[str, Any]],
    settings: TrainingSettings,
) -> pd.DataFrame:
    """Return how far the intercept of each country is from the common one.

    Args:
        episodes: the episodes table.
        splits: the splits table.
        models: of the regressions in which countries have intercepts of their own.
        settings: of the trainings.

    Returns:
        ``site_intercepts``: a row per regression and country.
    """
    from ms_pfl.studies.coefficients.intercepts import site_intercepts

    return site_intercepts(episodes, splits, models, settings)


def compare_countries(importance: pd.DataFrame) -> pd.DataFrame:
    """How far each country's personal model is from the federated one in what it uses."""
    from ms_pfl.studies.attribution.compare import compare_by_country

    return compare_by_country(importance)


def variant_trainer(variant: str) -> Callable[..., pd.DataFrame]:
    """Return the node function that trains what a variant of the protocol acts on."""

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
        """Train, with a line per model on the console; returns predictions, named by variant."""
        from ms_pfl.console import TrainingProgress
        from ms_pfl.pipelines.cohort.nodes import split
        from ms_pfl.studies.protocol_audit.train import train_variant
        from ms_pfl.training.simulation import Compute

        def follow(training: Training) -> TrainingProgress:
            return TrainingProgress(f"{variant_name(variant)}: {model_name(*training)}")

        splits, _ = split(episodes, seeds, fractions, protocol_of(variant))
        compute = Compute(ray, device, unfinished, checkpoints.every_rounds)
        return train_variant(variant, episodes, splits, settings, compute, follow)

    train_variant.__name__ = f"train_{variant}"
    return train_variant


def measure_audit(parameters: AuditParameters, **predictions: pd.DataFrame) -> pd.DataFrame:
    """Return what each choice adds to ROC-AUC, with a 95 % interval."""
    from ms_pfl.studies.protocol_audit.compare import measure as measure_audit

    table = pd.concat([predictions[variant] for variant in VARIANTS], ignore_index=True)
    return measure_audit(table, parameters.replicates, parameters.seed)


def show_audit(audit: pd.DataFrame, cohort: dict[str, Any]) -> tuple[pd.DataFrame, str, Any]:
    """Lay the audit out as a table, as a Markdown page, and as a figure."""
    from ms_pfl.studies.protocol_audit.show import audit_page, audit_table, draw_audit

    table = audit_table(audit)
    return table, audit_page(table, cohort["source"]), draw_audit(audit)


def train_heterogeneity(
    registry: SyntheticRegistryParameters,
    study: HeterogeneityStudyParameters,
    cohort: CohortParameters,
    fractions: SplitFractions,
    seeds: Sequence[int],
    settings: TrainingSettings,
    unfinished: Any,
    device: Device,
    ray: RayParameters,
    checkpoints: CheckpointParameters,
) -> pd.DataFrame:
    """Train on registries whose countries differ more and more, with a line per model.

    Trainings take the first of ``seeds``; intervals are over the data seeds of the study.
    """
    from ms_pfl.console import TrainingProgress
    from ms_pfl.studies.heterogeneity.registries import registries
    from ms_pfl.studies.heterogeneity.train import train_registries
    from ms_pfl.training.simulation import Compute

    return train_registries(
        registries(registry, study),
        cohort,
        fractions,
        seeds[0],
        settings,
        Compute(ray, device, unfinished, checkpoints.every_rounds),
        lambda one, training: TrainingProgress(f"{one.title}: {model_name(*training)}"),
    )


def measure_heterogeneity(scores: pd.DataFrame) -> pd.DataFrame:
    """Gains over the federated model, with simultaneous intervals over the data seeds."""
    from ms_pfl.studies.heterogeneity.compare import measure

    return measure(scores)


def show_heterogeneity(gains: pd.DataFrame) -> tuple[pd.DataFrame, Any]:
    """Lay the gains out as a table and as a figure, and say what they show."""
    from ms_pfl.studies.heterogeneity.show import (
        draw_heterogeneity,
        heterogeneity_sentences,
        heterogeneity_table,
    )

    for line in heterogeneity_sentences(gains):
        _log.info("%s", line)
    return heterogeneity_table(gains), draw_heterogeneity(gains)


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
    from ms_pfl.console import TrainingProgress
    from ms_pfl.paradigms import model_name
    from ms_pfl.studies.unseen_site.train import leave_one_out
    from ms_pfl.training.simulation import Compute

    strategy = new_country.strategy
    if f"federated_{strategy}" not in federated_models:
        raise InputError(
            f"Parameter 'new_country.strategy' = {strategy}: it is one of the further methods; "
            "after `kedro run --pipeline=further_methods`, run "
            "`kedro run --pipeline=new_country_further`"
        )
    title = model_name("federated", strategy)
    return leave_one_out(
        episodes,
        splits,
        settings,
        new_country,
        Compute(ray, device, unfinished, checkpoints.every_rounds),
        federated_models[f"federated_{strategy}"],
        lambda country: TrainingProgress(f"Without {country}: {title}"),
    )


def measure_new_countries(
    predictions: pd.DataFrame, test_predictions: pd.DataFrame, comparison: ComparisonParameters
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores of every model and size, and their differences."""
    from ms_pfl.studies.unseen_site.compare import measure

    told = comparison
    return measure(predictions, test_predictions, told.replicates, told.seed, told.margin)


def show_new_countries(
    estimates: pd.DataFrame,
    differences: pd.DataFrame,
    cohort: dict[str, Any],
    comparison: ComparisonParameters,
) -> pd.DataFrame:
    """Lay out the table, and say what it shows."""
    from ms_pfl.reporting.words import site_words
    from ms_pfl.studies.unseen_site.show import new_country_sentences, new_country_table

    sites = site_words(cohort["source"])
    for line in new_country_sentences(estimates, differences, sites, comparison.margin):
        _log.info("%s", line)
    return new_country_table(estimates, differences)
