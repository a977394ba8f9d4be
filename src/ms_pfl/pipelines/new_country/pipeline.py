"""How well is a country served that never took part, and what do its own patients add?

::

    episodes, splits ──► leave_countries_out ──► new_country_predictions ──► measure_new_countries
    test_predictions (of a pfl run) ──────────────────────────────────────────────┘
      ┌───────────────────────────────────────────────────────────────────────────┘
      └► new_country_estimates, new_country_differences ──► figure, table, and the report anew
"""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline

from ms_pfl.paradigms import trainings
from ms_pfl.pipelines.new_country.nodes import (
    leave_countries_out,
    measure_new_countries,
    show_new_countries,
)
from ms_pfl.pipelines.reporting.pipeline import create_report_pipeline
from ms_pfl.pipelines.training.pipeline import COMPUTE


def create_pipeline() -> Pipeline:
    """From what a run of ``pfl`` left to a report with the section on countries left out."""
    federated = trainings("study", paradigm="federated")
    tables = ["new_country_estimates", "new_country_differences"]
    return create_report_pipeline("study", extra=("unseen_site",)) + Pipeline(
        [
            Node(
                func=leave_countries_out,
                inputs={name: name for name in ("episodes", "splits", "unfinished")}
                | {"new_country": "params:new_country", "settings": "params:training"}
                | COMPUTE
                | {training.argument: f"{training.name}.models" for training in federated},
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
