"""The registries of the study: the configured one with a common knob, and one way apart."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from ms_pfl.errors import InputError
from ms_pfl.registry.synthetic.parameters import (
    Deviations,
    Heterogeneity,
    SyntheticRegistryParameters,
)
from ms_pfl.studies.parameters import HeterogeneityStudyParameters, WayParameters

#: Name of the registries in which a common factor multiplies every knob.
COMMON = "common"


@dataclass(frozen=True)
class Registry:
    """A registry of the study.

    Attributes:
        way: ``common``, or the name of a way in which countries differ.
        knob: by which all its knobs are multiplied.
        parameters: of its simulation.
    """

    way: str
    knob: float
    parameters: SyntheticRegistryParameters

    @property
    def title(self) -> str:
        """As progress and errors have it."""
        kind = "knobs" if self.way == COMMON else self.way.replace("_", " ")
        return f"{kind} x {self.knob:g}, data seed {self.parameters.seed}"


def registries(
    parameters: SyntheticRegistryParameters, study: HeterogeneityStudyParameters
) -> Iterator[Registry]:
    """Yield the registries of a study, those of a data seed one after the other.

    Args:
        parameters: of the configured registry.
        study: knobs, data seeds and ways.

    Raises:
        InputError: a knob would leave its range, or a way names a setting that there is not.
    """
    for seed in study.data_seeds:
        own = parameters.model_copy(update={"seed": seed, "n_patients": study.n_patients})
        for knob in study.knobs:
            yield Registry(COMMON, knob, with_common_knob(own, knob))
        for name, way in study.ways.items():
            yield Registry(name, 1.0, with_way(own, way))


def with_common_knob(
    parameters: SyntheticRegistryParameters, knob: float
) -> SyntheticRegistryParameters:
    """Multiply every knob of a registry by a common one.

    Raises:
        InputError: a knob would leave its range.
    """
    knobs = {name: knob * own for name, own in parameters.heterogeneity.model_dump().items()}
    try:
        heterogeneity = Heterogeneity.model_validate(knobs)
    except ValidationError as error:
        raise InputError(
            f"heterogeneity_study.knobs: {knob:g} times synthetic_registry.heterogeneity leaves "
            "the range of a knob (0 to 3); choose a smaller one"
        ) from error
    return parameters.model_copy(update={"heterogeneity": heterogeneity})


def with_way(
    parameters: SyntheticRegistryParameters, way: WayParameters
) -> SyntheticRegistryParameters:
    """Replace some knobs and some standard deviations of a registry.

    Raises:
        InputError: a setting that there is not, or a value out of its range.
    """
    try:
        heterogeneity = Heterogeneity.model_validate(
            parameters.heterogeneity.model_dump() | dict(way.heterogeneity)
        )
        deviations = Deviations.model_validate(
            parameters.deviations.model_dump() | dict(way.deviations)
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"heterogeneity_study.ways: {first['loc'][-1]}: {first['msg']}; the settings are those "
            "of synthetic_registry.heterogeneity and synthetic_registry.deviations"
        ) from error
    return parameters.model_copy(update={"heterogeneity": heterogeneity, "deviations": deviations})
