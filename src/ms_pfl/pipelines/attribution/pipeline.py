"""What the global and the personal models use.

::

    episodes, splits, <paradigm>.fedavg.models ──► measure_importance ──► importance
                                     attribution_by_country ◄── compare_countries ◄┘

One strategy is asked, as there are datasets for what is known when the pipelines are registered,
and as the strategies of a paradigm differ little in what their models use: FedAvg, which every
configuration trains.
"""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from ms_pfl.pipelines.attribution.nodes import compare_countries, measure_importance

STRATEGY = "fedavg"
# The global model, then the personal ones that are compared with it.
PARADIGMS = ("federated", "fine_tuned", "adaptive")
_PARAMETERS = (
    "attribution",
    "device",
    "model",
    "training",
    "protocol",
    "strategies",
    "centralized",
    "local",
    "federated",
    "fine_tuned",
)


def create_pipeline() -> Pipeline:
    """``*.fedavg.models`` -> ``importance``, ``attribution_by_country``."""
    return Pipeline(
        [
            Node(
                func=measure_importance,
                inputs={"episodes": "episodes", "splits": "splits", "cohort": "cohort_description"}
                | {name: f"params:{name}" for name in _PARAMETERS}
                | {
                    f"{paradigm}_{STRATEGY}_models": f"{paradigm}.{STRATEGY}.models"
                    for paradigm in PARADIGMS
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
