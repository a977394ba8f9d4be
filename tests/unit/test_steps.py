"""Which pipeline makes a file again."""

from __future__ import annotations

import pytest

from ms_pfl.pipeline_registry import step_to_run, steps_that_make


@pytest.mark.parametrize(
    ("datasets", "steps"),
    [
        ({"federated.fedavg.models"}, ["federated"]),
        ({"federated.fedavg.models", "local.none.models"}, ["training"]),
        ({"episodes"}, ["own_data", "preprocessing"]),
        ({"episodes_provenance"}, ["own_data", "preprocessing"]),
        ({"future_visit_days"}, ["preprocessing"]),
        ({"nothing makes this"}, []),
    ],
)
def test_the_steps_are_those_that_hold_no_shorter_one(datasets: set[str], steps: list[str]) -> None:
    assert steps_that_make(datasets) == steps


@pytest.mark.parametrize(
    ("stale", "custom", "step"),
    [
        ({"summary"}, False, "evaluation"),
        ({"summary", "local.none.predictions"}, False, "pfl"),
        ({"episodes"}, False, "preprocessing"),
        ({"episodes"}, True, "own_data"),
        ({"summary", "metrics", "test_predictions", "cohort_description"}, True, "modelling"),
    ],
)
def test_the_step_to_run_makes_all_that_is_stale(stale: set[str], custom: bool, step: str) -> None:
    found = step_to_run(stale, stale.__contains__, from_custom_table=custom)
    assert found == step
