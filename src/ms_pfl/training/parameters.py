"""What a person sets about the five paradigms."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ms_pfl.federation.parameters import ProtocolParameters, RoundsParameters, StrategiesParameters
from ms_pfl.learning.parameters import Device, ModelParameters, Parameters, TrainingParameters
from ms_pfl.yaml_text import YamlText, texts_in


class CentralizedParameters(Parameters):
    """One model on all countries' pooled training patients."""

    epochs: int = Field(ge=1, description="epochs at most")
    patience: int = Field(ge=1, description="stop after so many epochs without a better one")
    batch_size: int | None = Field(gt=0, description="rows a step; null: all rows at once")


class LocalParameters(Parameters):
    """Each country alone."""

    epochs: int = Field(ge=1, description="epochs at most")
    patience: int = Field(ge=1, description="stop after so many epochs without a better one")
    epochs_without_validation: int = Field(
        ge=1, description="epochs in a country that has no validation patients"
    )


class FineTunedParameters(Parameters):
    """The federated model, trained on in each country."""

    epochs: int = Field(ge=0, description="epochs at most; 0: the federated model as it is")
    patience: int = Field(ge=1, description="stop after so many epochs without a better one")
    learning_rate_factor: float = Field(
        gt=0, description="times training.learning_rate (published: 0.1)"
    )
    epochs_without_validation: int = Field(
        ge=0, description="epochs in a country that has no validation patients; 0: none"
    )


class AuditParameters(Parameters):
    """The bootstrap of the protocol audit."""

    replicates: int = Field(ge=100, description="draws of patients")
    seed: int = Field(ge=0, description="of the draws")


class AttributionParameters(Parameters):
    """Permutation importance of the models."""

    repeats: int = Field(ge=1, description="permutations of each group of features")
    seed: int = Field(ge=0, description="of the permutations")


class NewCountryParameters(Parameters):
    """Countries that are left out of a federation and arrive later."""

    strategy: str = Field(description="of the federations, a key of strategies")
    countries: Annotated[int, Field(ge=1)] | Literal["all"] | tuple[YamlText, ...] = Field(
        description="to leave out, one after the other: names, so many of the largest, or all"
    )
    sizes: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        description="training patients that a country comes with, rising; all it has comes last"
    )

    @field_validator("countries", mode="before")
    @classmethod
    def _names_are_text(cls, given: object) -> object:
        return texts_in(given)

    @model_validator(mode="after")
    def _are_known_and_rise(self) -> Self:
        if self.strategy not in (known := StrategiesParameters.model_fields):
            raise ValueError(
                f"Parameter 'new_country.strategy': there is no strategy {self.strategy!r}; there "
                f"are: {', '.join(known)}"
            )
        if self.countries == ():
            raise ValueError("Parameter 'new_country.countries': name at least one")
        if list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(
                f"Parameter 'new_country.sizes' = {list(self.sizes)}: each must be larger than "
                "the one before it"
            )
        return self


class ParadigmParameters(Parameters):
    """All that a training needs to know, in one bundle: the YAML keys of the same names."""

    device: Device = Field(description="auto (a GPU where there is one), cpu or cuda")
    model: ModelParameters
    training: TrainingParameters
    protocol: ProtocolParameters
    strategies: StrategiesParameters
    centralized: CentralizedParameters
    local: LocalParameters
    federated: RoundsParameters = Field(description="of the federated and the adaptive paradigm")
    fine_tuned: FineTunedParameters
