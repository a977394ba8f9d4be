"""What a person sets about predictions for new patients."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ms_pfl.learning.parameters import Parameters


class PredictionParameters(Parameters):
    """Which trainings become the predictor."""

    paradigm: Literal["local", "fine_tuned", "adaptive"] = Field(
        description="whose models serve the countries that trained"
    )
    strategy: Literal["fedavg", "fedprox", "fedadam", "fedyogi", "fedadagrad"] = Field(
        description="of these models, and of the federated one for all other countries"
    )

    @property
    def personal(self) -> tuple[str, str]:
        """Paradigm and strategy of the personal models, as in the tables."""
        return self.paradigm, "none" if self.paradigm == "local" else self.strategy

    @property
    def shared(self) -> tuple[str, str]:
        """Paradigm and strategy of the global model, as in the tables."""
        return "federated", self.strategy
