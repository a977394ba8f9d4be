"""How well is a country served that never took part, and what do its own patients add?

::

    episodes, splits ──► leave_countries_out ──► new_country_predictions ──► measure_new_countries
    test_predictions (of a pfl run) ──────────────────────────────────────────────┘
      ┌───────────────────────────────────────────────────────────────────────────┘
      └► new_country_estimates, new_country_differences ──► figure, table, and the report anew
"""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd
from kedro.pipeline import Node, Pipeline

from ms_pfl.evaluation.parameters import ComparisonParameters
from ms_pfl.federation.parameters import CheckpointParameters, RayParameters
from ms_pfl.learning.parameters import Device
from ms_pfl.paradigms import model_name, trainings
from ms_pfl.pipelines.reporting import create_report_pipeline
from ms_pfl.pipelines.training import COMPUTE, outputs_of
from ms_pfl.studies.unseen_site.parameters import NewCountryParameters
from ms_pfl.training.settings import TrainingSettings

_log = logging.getLogger(__name__)


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
    from ms_pfl.studies.unseen_site.train import leave_one_out
    from ms_pfl.training.simulation import Compute

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


def create_pipeline() -> Pipeline:
    """From what a run of ``pfl`` left to a report with the section on countries left out."""
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
