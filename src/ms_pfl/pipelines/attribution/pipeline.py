"""What the global and the personal models use.

::

               episodes, splits, explained_models ──► measure_importance ──► importance
                                            attribution_by_country ◄── compare_countries ◄┘
"""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from ms_pfl.pipelines.attribution.nodes import compare_countries, measure_importance
from ms_pfl.pipelines.evaluation.pipeline import NAMESPACE
from ms_pfl.pipelines.training.nodes import by_training
from ms_pfl.pipelines.training.pipeline import NAMESPACE as TRAINING
from ms_pfl.studies.attribution.compare import asked

TABLES = ("importance", "attribution_by_country")


def create_pipeline() -> Pipeline:
    """The models that are asked -> ``importance``, ``attribution_by_country``."""
    return Pipeline(
        [
            Node(
                func=by_training(asked()),
                inputs=[f"{training.name}.models" for training in asked()],
                outputs="explained_models",
                name="gather_explained_models",
                namespace=TRAINING,
            ),
            Node(
                func=measure_importance,
                inputs=[
                    "episodes",
                    "splits",
                    "cohort_description",
                    "explained_models",
                    "params:attribution",
                    "params:training",
                    "params:device",
                ],
                outputs="importance",
                name="measure_importance",
                namespace=NAMESPACE,
            ),
            Node(
                func=compare_countries,
                inputs="importance",
                outputs="attribution_by_country",
                name="compare_countries",
                namespace=NAMESPACE,
            ),
        ]
    )
