"""What a person sets about predictions for new patients."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from ms_pfl.config import Section
from ms_pfl.paradigms import PARADIGMS, Training, paradigms_with, trainings


class PredictionParameters(Section):
    """Which trainings become the predictor."""

    paradigm: str = Field(description="whose models serve the countries that trained")
    strategy: str = Field(
        description="of these models, and of the federated one for all other countries"
    )

    @model_validator(mode="after")
    def _is_trained(self) -> Self:
        own = [row.name for row in PARADIGMS.values() if row.role in ("local", "personalized")]
        if self.paradigm not in own:
            raise ValueError(
                f"Parameter 'prediction.paradigm' = {self.paradigm!r}: no paradigm of that name "
                f"has models of the countries' own; there are: {', '.join(own)}"
            )
        known = [training.strategy for training in trainings(paradigm=self.shared.paradigm)]
        if self.strategy not in known:
            raise ValueError(
                f"Parameter 'prediction.strategy' = {self.strategy!r}: there is no such strategy; "
                f"there are: {', '.join(known)}"
            )
        strategies, is_local = self._strategies(), PARADIGMS[self.paradigm].role == "local"
        if self.strategy not in strategies and not is_local:
            raise ValueError(
                f"Parameter 'prediction.strategy' = {self.strategy!r}: {self.paradigm} is not "
                f"trained with it; there are: {', '.join(strategies)}"
            )
        return self

    def _strategies(self) -> tuple[str, ...]:
        return PARADIGMS[self.paradigm].strategies

    @property
    def personal(self) -> Training:
        """The training of the countries' own models."""
        own = self._strategies()
        return Training(self.paradigm, self.strategy if self.strategy in own else own[0])

    @property
    def shared(self) -> Training:
        """The training of the global model."""
        return Training(paradigms_with("global")[0].name, self.strategy)
