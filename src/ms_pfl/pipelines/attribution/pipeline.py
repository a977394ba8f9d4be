"""What the global and the personal models use.

::

                          episodes, splits, models ──► measure_importance ──► importance
                                            attribution_by_country ◄── compare_countries ◄┘
"""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from ms_pfl.paradigms import Family
from ms_pfl.pipelines.attribution.nodes import compare_countries, measure_importance
from ms_pfl.pipelines.evaluation.pipeline import NAMESPACE
from ms_pfl.pipelines.training.pipeline import gathering

TABLES = ("importance", "attribution_by_country")


def create_pipeline(*families: Family) -> Pipeline:
    """``models`` -> ``importance``, ``attribution_by_country``.

    Args:
        families: of the trainings that there are.
    """
    return gathering(("models",), *families) + Pipeline(
        [
            Node(
                func=measure_importance,
                inputs=[
                    "episodes",
                    "splits",
                    "cohort_description",
                    "models",
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
