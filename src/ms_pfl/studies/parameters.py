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
        known = [training.strategy for training in trainings(paradigm="federated")]
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


class WayParameters(Section):
    """One way in which countries differ: settings of ``synthetic_registry`` that it replaces."""

    heterogeneity: dict[str, float] = Field(description="knobs")
    deviations: dict[str, float] = Field(description="standard deviations")


class HeterogeneityStudyParameters(Section):
    """Synthetic registries whose countries differ more and more."""

    knobs: tuple[Annotated[float, Field(ge=0.0, le=3.0)], ...] = Field(
        min_length=1, description="common factors of all knobs of synthetic_registry.heterogeneity"
    )
    ways: dict[str, WayParameters] = Field(description="registries that differ in one way alone")
    data_seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        min_length=1, description="seeds of the registries; intervals are over them"
    )
    n_patients: int = Field(ge=96, description="people in each registry")
