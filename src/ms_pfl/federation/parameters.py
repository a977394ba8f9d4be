"""What a person sets about the federation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from ms_pfl.config import Section
from ms_pfl.errors import InputError
from ms_pfl.learning.parameters import (
    Device,
    InputParameters,
    LogisticParameters,
    NetworkParameters,
    OptimizerParameters,
    TreesParameters,
)
from ms_pfl.paradigms import PARADIGMS, LearnerName

Scaling = Literal["federated", "country", "none"]


class RayParameters(Section):
    """Where the clients run."""

    num_workers: int | Literal["auto"] = Field(
        description="worker processes: a number, auto (one per CPU core, at most one per country), "
        "or 0: in this process"
    )
    address: str | None = Field(
        description="address of a running Ray cluster (auto: the one of this machine); "
        "null: start Ray here"
    )
    gpus_per_worker: float | Literal["auto"] = Field(
        default="auto",
        description="GPUs of each worker, a part of one or whole ones; auto: all that there are, "
        "in equal shares",
    )

    def model_post_init(self, context: object, /) -> None:
        """Refuse a negative number of workers."""
        if self.num_workers != "auto" and self.num_workers < 0:
            raise ValueError("num_workers must be auto, 0 or a positive number")
        share = self.gpus_per_worker
        if share != "auto" and (share <= 0 or (share > 1 and share != int(share))):
            raise ValueError("gpus_per_worker must be auto, a part of one, or a whole number")


class StrategyParameters(Section):
    """What each strategy that trains in rounds has."""

    epochs: int = Field(ge=1, description="epochs each client trains in a round")


class FedAvgParameters(StrategyParameters):
    """FedAvg (McMahan et al., AISTATS 2017): the size-weighted mean of the clients' weights."""


class FedProxParameters(StrategyParameters):
    """FedProx (Li et al., MLSys 2020): FedAvg with a pull towards the global weights."""

    proximal_mu: float = Field(
        gt=0,
        description="weight of the term mu/2 ||w - w_global||^2; plain sgd diverges where "
        "training.optimizer.learning_rate x proximal_mu is above 2",
    )


class FedAdagradParameters(StrategyParameters):
    """FedAdagrad (Reddi et al., ICLR 2021): the server takes Adagrad steps.

    Its gradient is the clients' mean change of the weights. The clients' own rate is
    training.optimizer.learning_rate.
    """

    eta: float = Field(gt=0, description="the server's learning rate")
    tau: float = Field(
        gt=0, description="added to the root of the second moment: how far a step adapts"
    )


class FedAdamParameters(FedAdagradParameters):
    """FedAdam (Reddi et al., ICLR 2021): the server takes Adam steps."""

    beta_1: float = Field(ge=0, lt=1, description="decay of the first moment")
    beta_2: float = Field(ge=0, lt=1, description="decay of the second moment")


class FedYogiParameters(FedAdamParameters):
    """FedYogi (Reddi et al., ICLR 2021): FedAdam whose second moment changes slowly."""


class StrategiesParameters(Section):
    """The settings of each strategy, by its name."""

    fedavg: FedAvgParameters
    fedprox: FedProxParameters
    fedadam: FedAdamParameters
    fedyogi: FedYogiParameters
    fedadagrad: FedAdagradParameters
    logistic: LogisticParameters
    trees: TreesParameters

    def of(self, strategy: str) -> StrategyParameters:
        """Return the settings of one strategy that trains in rounds.

        Raises:
            InputError: there is no such strategy.
        """
        found = getattr(self, strategy, None)
        if not isinstance(found, StrategyParameters):
            known = [name for name, own in self if isinstance(own, StrategyParameters)]
            raise InputError(f"there is no strategy {strategy!r}; there are: {', '.join(known)}")
        return found


class RoundsParameters(Section):
    """Rounds of a federation."""

    rounds: int = Field(ge=1, description="rounds at most")
    patience: int | None = Field(
        ge=1, description="stop after so many rounds without a better one; null: never"
    )
    client_fraction: float = Field(
        gt=0, le=1, description="share of the countries that train in a round; all are scored"
    )
    largest_update: float = Field(
        default=10.0,
        gt=0,
        description="change of the weights by a country in a round, as a multiple of the weights' "
        "own L2 norm (of 1 at least), above which the run ends and names the country",
    )
    secure_sums: bool = Field(
        default=False,
        description="whether countries of a simulation mask their sums, as a drill: the same "
        "result; real sites do by themselves",
    )


class CheckpointParameters(Section):
    """What is kept of an interrupted run."""

    every_rounds: int = Field(
        ge=1, description="a federation is written down each so many rounds, and on an interrupt"
    )


class ProtocolParameters(Section):
    """Choices of the study's public code beside the sound ones, to measure what each is worth.

    The defaults in conf/base are sound; conf/as_published holds the published ones.
    """

    split_unit: Literal["patient", "episode"] = Field(
        description="what is split into training, validation and test; published: episode, so that "
        "overlapping episodes of one patient are trained on and tested"
    )
    scaling: Scaling = Field(
        description="mean and sd of all countries, of each its own (published), or none"
    )
    selection: Literal["validation", "test"] = Field(
        description="rows by which the best round or epoch is chosen; published: test"
    )
    personal_arrays: Literal["kept", "reset"] = Field(
        description="personal layers from round to round; published: drawn again at every message"
    )
    proximal_term: bool = Field(
        description="whether FedProx's term is in the clients' loss; published: false"
    )
    fine_tuning_rows: Literal["same", "redrawn"] = Field(
        description="rows that fine-tuning trains, selects and is scored on; redrawn (published): "
        "in part those that the federated model was trained on"
    )

    @classmethod
    def of(cls, given: Mapping[str, Any] | ProtocolParameters) -> ProtocolParameters:
        """Return the protocol that a node was given, typed or as YAML has it.

        Kedro types a section of a section only where it meets the inner one first, so a node that
        takes ``params:training.protocol`` cannot have it typed by its signature.
        """
        return cls.model_validate(given)

    @property
    def same_test_rows(self) -> bool:
        """Whether every model is tested on the same patients, none of whom was trained on."""
        return self.split_unit == "patient" and self.fine_tuning_rows == "same"


class ClientSettings(Section):
    """What the server tells a client once, before the first round."""

    paradigm: str = Field(description="by whose method the client trains")
    inputs: InputParameters
    network: NetworkParameters
    optimizer: OptimizerParameters
    protocol: ProtocolParameters
    device: Device
    method: dict[str, Any] | None = Field(description="the method's own settings")
    logistic: LogisticParameters | None = Field(
        description="of a logistic regression; null: something else is trained"
    )
    trees: TreesParameters | None = Field(
        default=None, description="of boosted trees; null: something else is trained"
    )

    @property
    def learner(self) -> LearnerName:
        """What is fitted."""
        if self.logistic is not None:
            return "logistic"
        return "network" if self.trees is None else "trees"

    @property
    def sites_differ(self) -> bool:
        """Whether sites that train together have a part of the model of their own."""
        row = PARADIGMS.get(self.paradigm)
        return row is not None and row.rounds and row.role == "personalized"

    @property
    def mixed(self) -> bool:
        """Whether it is a logistic regression with coefficients of each site's own."""
        return self.logistic is not None and self.sites_differ

    @model_validator(mode="after")
    def _one_learner(self) -> Self:
        if self.logistic is not None and self.trees is not None:
            raise ValueError("one learner is trained, not a regression and trees")
        return self
