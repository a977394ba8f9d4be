"""What a person sets about predictions for new patients."""

from typing import Self

from pydantic import Field, model_validator

from ms_pfl.config import Section
from ms_pfl.evaluation.choice import AUTO, servable
from ms_pfl.paradigms import PARADIGMS, STRATEGIES, paradigms_with

#: Of them a standard error is off by a sixth, and its interval a fifteenth wider than with many.
FEWEST_DRAWS, MOST_DRAWS = 20, 1000


class PredictionParameters(Section):
    """Which trainings become the predictor."""

    paradigm: str = Field(
        description="that serves the countries that trained; auto: what validation prefers"
    )
    strategy: str = Field(
        description="of it, and of the federated model for all other countries; auto: all are "
        "considered"
    )
    bootstrap_patients: int = Field(
        ge=0,
        le=MOST_DRAWS,
        description="draws of training patients that a served logistic regression "
        "or boosted trees are refitted to, for the interval of a risk; 0: none",
    )

    @model_validator(mode="after")
    def _has_a_spread(self) -> Self:
        if 0 < self.bootstrap_patients < FEWEST_DRAWS:
            raise ValueError(
                f"Parameter 'prediction.bootstrap_patients' = {self.bootstrap_patients}: a "
                f"standard error needs {FEWEST_DRAWS} draws at least; set 0 for none"
            )
        return self

    @model_validator(mode="after")
    def _is_trained(self) -> Self:
        if self.paradigm != AUTO and self.paradigm not in servable():
            raise ValueError(
                f"Parameter 'prediction.paradigm' = {self.paradigm!r}: no paradigm of that name "
                f"can serve new patients; there are: {AUTO}, {', '.join(servable())}"
            )
        if self.paradigm == AUTO:
            known = [AUTO, *STRATEGIES]
        else:
            known = list(paradigms_with("global")[0].strategies)
        if self.strategy not in known:
            raise ValueError(
                f"Parameter 'prediction.strategy' = {self.strategy!r}: there is no such strategy; "
                f"there are: {', '.join(known)}"
            )
        own = PARADIGMS.get(self.paradigm)
        if own is not None and self.strategy not in own.strategies and own.role != "local":
            raise ValueError(
                f"Parameter 'prediction.strategy' = {self.strategy!r}: {self.paradigm} is not "
                f"trained with it; there are: {', '.join(own.strategies)}"
            )
        return self
