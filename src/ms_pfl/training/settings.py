"""What a person sets about trainings: the section ``training`` of the parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, ValidationError, create_model, model_validator

from ms_pfl.config import Section
from ms_pfl.federation.parameters import ProtocolParameters, RoundsParameters, StrategiesParameters
from ms_pfl.learning.parameters import (
    InputParameters,
    NetworkParameters,
    OptimizerParameters,
)
from ms_pfl.paradigms import PARADIGMS, Training, learner_of, trainings
from ms_pfl.personalization.method import method_class


class _FitParameters(Section):
    """What each fit to the best epoch has."""

    epochs: int = Field(ge=1, description="epochs at most")
    patience: int = Field(ge=1, description="stop after so many epochs without a better one")


class CentralizedParameters(_FitParameters):
    """One model on all countries' pooled training patients."""

    batch_size: int | None = Field(gt=0, description="rows a step; null: all rows at once")


class LocalParameters(_FitParameters):
    """Each country alone."""

    epochs_without_validation: int = Field(
        ge=1, description="epochs in a country that has no validation patients"
    )


class FineTunedParameters(_FitParameters):
    """The federated model, trained on in each country."""

    epochs: int = Field(ge=0, description="epochs at most; 0: the federated model as it is")
    learning_rate_factor: float = Field(
        gt=0, description="times training.optimizer.learning_rate (published: 0.1)"
    )
    epochs_without_validation: int = Field(
        ge=0, description="epochs in a country that has no validation patients; 0: none"
    )


class _Settings(Section):
    """The sections that every training has, and those of the study's paradigms."""

    inputs: InputParameters
    network: NetworkParameters
    optimizer: OptimizerParameters
    protocol: ProtocolParameters
    strategies: StrategiesParameters
    federation: RoundsParameters = Field(description="of all paradigms that train in rounds")
    centralized: CentralizedParameters
    local: LocalParameters
    fine_tuned: FineTunedParameters
    only: dict[str, dict[str, Any]] = Field(
        default={},
        description="settings of single trainings: {adaptive.fedavg: {federation: {rounds: 50}}}",
    )

    @model_validator(mode="after")
    def _bins_are_of_trees(self) -> Self:
        if self.inputs.kind == "binned":
            raise ValueError(
                "Parameter 'training.inputs.kind' = binned is what boosted trees have by "
                "themselves; set encoded or standard, which is for the other learners"
            )
        return self

    @model_validator(mode="after")
    def _scaling_is_of_standard_inputs(self) -> Self:
        if self.inputs.kind != "standard" and self.protocol.scaling != "federated":
            raise ValueError(
                "Parameter 'training.protocol.scaling' is of standard inputs: set "
                "training.inputs.kind: standard, or scaling: federated"
            )
        return self

    @model_validator(mode="after")
    def _single_trainings_can_be_used(self) -> Self:
        known = [training.name for training in trainings()]
        for name in self.only:
            if name not in known:
                raise ValueError(
                    f"Parameter 'training.only': there is no training {name!r}; there are: "
                    f"{', '.join(known)}"
                )
            if "only" in self.only[name]:
                raise ValueError(f"Parameter 'training.only.{name}': 'only' cannot stand in itself")
            for section in {"protocol", "inputs"} & self.only[name].keys():
                raise ValueError(
                    f"Parameter 'training.only.{name}.{section}': all trainings that are compared "
                    f"have one; set training.{section}"
                )
            try:
                self.of(*name.split("."))
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join(map(str, ("training.only", name, *first["loc"])))
                raise ValueError(f"Parameter '{place}': {first['msg']}") from None
        return self

    def of(self, paradigm: str, strategy: str) -> Self:
        """Return the settings of one training: these, with its own in their place.

        Raises:
            pydantic.ValidationError: its own settings cannot be used.
        """
        own = self.only.get(Training(paradigm, strategy).name, {})
        told = self.model_dump(exclude={"only"})
        found = type(self).model_validate(_merged(told, own)) if self.only else self
        if learner_of(strategy) != "trees":
            return found
        update = {"kind": "binned", "bins": found.strategies.trees.bins}
        inputs = found.inputs.model_copy(update=update)
        return found.model_copy(update={"inputs": inputs, "only": {}})

    def sections_of(self, paradigm: str, strategy: str) -> dict[str, Any]:
        """Return what decides a training's result, as JSON has it: for its digest.

        The settings are to be those of the training (:meth:`of`).
        """
        row = PARADIGMS[paradigm]
        names = ["inputs", "network", "optimizer", "protocol"]
        if row.rounds or row.starts_from is not None:
            names.append("federation")
        if paradigm in type(self).model_fields:
            names.append(paradigm)
        told = self.model_dump(mode="json")
        for name in ("largest_update", "secure_sums"):  # they end a run or change nothing
            del told["federation"][name]
        return {
            "strategy": [strategy, told["strategies"].get(strategy)],
            **{name: told[name] for name in names},
        }


def _merged(told: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with some of them replaced, section by section."""
    merged = dict(told)
    for name, value in own.items():
        section = merged.get(name)
        if isinstance(value, Mapping) and isinstance(section, Mapping):
            merged[name] = _merged(section, value)
        else:
            merged[name] = value
    return merged


if TYPE_CHECKING:

    class TrainingSettings(_Settings):
        """The section ``training``; each method's section is a field named as its paradigm."""

else:
    TrainingSettings = create_model(
        "TrainingSettings",
        __base__=_Settings,
        __module__=__name__,
        __doc__="The section ``training``; each method's section is named as its paradigm.",
        **{
            name: (method_class(name).settings, ...)
            for name in PARADIGMS
            if method_class(name).settings is not None
        },
    )
