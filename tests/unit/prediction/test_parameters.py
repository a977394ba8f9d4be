"""What a person may set about predictions."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from ms_pfl.prediction.parameters import FEWEST_DRAWS, PredictionParameters


@pytest.mark.parametrize("draws", [0, FEWEST_DRAWS, 1000])
def test_no_draws_or_enough_for_a_standard_error(draws: int) -> None:
    told = PredictionParameters(paradigm="auto", strategy="auto", bootstrap_patients=draws)
    assert told.bootstrap_patients == draws


@pytest.mark.parametrize("draws", [1, FEWEST_DRAWS - 1])
def test_too_few_draws_are_refused_with_a_remedy(draws: int) -> None:
    with pytest.raises(ValidationError, match=rf"= {draws}: .* 20 draws at least; set 0 for none"):
        PredictionParameters(paradigm="auto", strategy="auto", bootstrap_patients=draws)


@pytest.mark.parametrize("draws", [-1, 1001])
def test_numbers_beyond_the_bounds_are_refused(draws: int) -> None:
    with pytest.raises(ValidationError, match="bootstrap_patients"):
        PredictionParameters(paradigm="auto", strategy="auto", bootstrap_patients=draws)
