"""What a person sets about the studies."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from ms_pfl.config import Section
from ms_pfl.paradigms import trainings
from ms_pfl.yaml_text import YamlText, texts_in


class AttributionParameters(Section):
    """Permutation importance of the models."""

    repeats: int = Field(ge=1, description="permutations of each group of features")
    seed: int = Field(ge=0, description="of the permutations")


class AuditParameters(Section):
    """The bootstrap of the protocol audit."""

    replicates: int = Field(ge=100, description="draws of patients")
    seed: int = Field(ge=0, description="of the draws")


class NewCountryParameters(Section):
    """Countries that are left out of a federation and arrive later."""

    strategy: str = Field(description="of the federations, a key of training.strategies")
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
        known = [training.strategy for training in trainings("study", paradigm="federated")]
        if self.strategy not in known:
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
