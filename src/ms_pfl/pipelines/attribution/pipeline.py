"""What the global and the personal models use.

::

    episodes, splits, <paradigm>.<strategy>.models ──► measure_importance ──► importance
                                            attribution_by_country ◄── compare_countries ◄┘
"""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from ms_pfl.pipelines.attribution.nodes import compare_countries, measure_importance
from ms_pfl.pipelines.training.pipeline import outputs_of
from ms_pfl.studies.attribution.compare import asked


def create_pipeline() -> Pipeline:
    """``*.models`` -> ``importance``, ``attribution_by_country``."""
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
                func=compare_countries,
                inputs="importance",
                outputs="attribution_by_country",
                name="compare_countries",
            ),
        ]
    )
