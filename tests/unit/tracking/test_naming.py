"""Names and params as MLflow takes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ms_pfl.tracking.parameters import TrackingParameters
from ms_pfl.tracking.points import flatten, metric_part, metric_parts


def test_country_names() -> None:
    assert metric_part("Türkiye") == "Türkiye"
    assert metric_part("Bosnia & Herzegovina / Mostar (south)") == (
        "Bosnia___Herzegovina___Mostar__south_"
    )
    assert metric_part("..") == "__"
    assert metric_part("") == "_"


def test_names_that_fall_together_are_told_apart() -> None:
    parts = metric_parts(["A'b", "A(b", "A_b", "C"])
    assert len(set(parts.values())) == 4
    assert parts["A'b"] == "A_b"
    assert parts["C"] == "C"


@given(st.lists(st.text(max_size=300), unique=True, max_size=6))
def test_mlflow_accepts_every_name(names: list[str]) -> None:
    from mlflow.utils.validation import _validate_metric_name

    parts = metric_parts(names)
    assert len(set(parts.values())) == len(names)
    for part in parts.values():
        _validate_metric_name(f"roc_auc_by_country/{part}")
        assert not any(letter.isspace() for letter in part)


def test_params_are_flat_text() -> None:
    flat = flatten(
        {
            "strategies": {"fedprox": {"epochs": 2, "proximal_mu": 0.001}, "none": {}},
            "seeds": [0, 1],
            "device": "auto",
            "address": None,
            "long": "x" * 7000,
        }
    )
    assert flat["strategies.fedprox.proximal_mu"] == "0.001"
    assert flat["strategies.none"] == "{}"
    assert flat["seeds"] == "[0, 1]"
    assert flat["device"] == "auto"
    assert flat["address"] == "null"
    assert len(flat["long"]) == 6000


def test_parameters_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValidationError, match="experimnt"):
        TrackingParameters.model_validate({"experimnt": "x"})
    with pytest.raises(ValidationError):
        TrackingParameters(experiment="")
