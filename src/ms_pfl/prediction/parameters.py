"""What a person sets about predictions for new patients."""

from typing import Self

from pydantic import Field, model_validator

from ms_pfl.config import Section
from ms_pfl.paradigms import PARADIGMS, Training, paradigms_with


class PredictionParameters(Section):
    """Which trainings become the predictor."""

    paradigm: str = Field(description="whose models serve the countries that trained")
    strategy: str = Field(
        description="of these models, and of the federated one for all other countries"
    )

    @model_validator(mode="after")
    def _is_trained(self) -> Self:
        personal = _with_own_models()
        if self.paradigm not in personal:
            raise ValueError(
                f"Parameter 'prediction.paradigm' = {self.paradigm!r}: no paradigm of that name "
                f"has models of the countries' own; there are: {', '.join(personal)}"
            )
        known = paradigms_with("global")[0].strategies
        if self.strategy not in known:
            raise ValueError(
                f"Parameter 'prediction.strategy' = {self.strategy!r}: there is no such strategy; "
                f"there are: {', '.join(known)}"
            )
        own = PARADIGMS[self.paradigm]
        if self.strategy not in own.strategies and own.role != "local":
            raise ValueError(
                f"Parameter 'prediction.strategy' = {self.strategy!r}: {self.paradigm} is not "
                f"trained with it; there are: {', '.join(own.strategies)}"
            )
        return self

    @property
    def personal(self) -> Training:
        """The training of the countries' own models."""
        own = PARADIGMS[self.paradigm].strategies
        return Training(self.paradigm, self.strategy if self.strategy in own else own[0])

    @property
    def shared(self) -> Training:
        """The training of the global model."""
        return Training(paradigms_with("global")[0].name, self.strategy)


def _with_own_models() -> list[str]:
    """Paradigms that leave each country a model of its own."""
    return [row.name for row in PARADIGMS.values() if row.role in ("local", "personalized")]
