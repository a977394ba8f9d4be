"""What a person sets about the network and its training."""

import itertools
from typing import Literal

from pydantic import Field, field_validator

from ms_pfl.config import Section

Device = Literal["auto", "cpu", "cuda"]
NetworkKind = Literal["mlp", "adaptive"]


class ExtensionTier(Section):
    """Depth of the personal branch from a number of training rows on."""

    min_rows: int = Field(ge=0, description="training episodes from which the tier holds")
    layers: int = Field(ge=1, le=1000, description="hidden layers of the extension branch")


class NetworkParameters(Section):
    """The network: a multilayer perceptron, and the extension beside it (adaptive only)."""

    hidden_layers: int = Field(
        ge=0,
        le=1000,
        description="hidden layers of the MLP and of the core branch; 0: logistic regression",
    )
    width: int = Field(ge=1, le=100_000, description="units in each of them")
    dropout: float = Field(ge=0, lt=1, description="dropout after each hidden layer")
    extension_width: int = Field(
        ge=1, le=100_000, description="units in each layer of the extension branch"
    )
    extension_tiers: tuple[ExtensionTier, ...] = Field(
        min_length=1,
        max_length=1000,
        description="depth of the extension by training rows, largest first, the last from 0 on",
    )
    combining_activation: bool = Field(
        description="ReLU after the combining layer (published: none, false)"
    )
    combining_personal: bool = Field(
        description="keep the combining layer in the country (published: shared, false)"
    )

    @field_validator("extension_tiers")
    @classmethod
    def _descending(cls, tiers: tuple[ExtensionTier, ...]) -> tuple[ExtensionTier, ...]:
        rows = [tier.min_rows for tier in tiers]
        if any(a <= b for a, b in itertools.pairwise(rows)) or rows[-1] != 0:
            raise ValueError("extension_tiers must fall in min_rows and end with min_rows: 0")
        return tiers


class PlateauParameters(Section):
    """Lower the learning rate when the validation loss no longer falls (ReduceLROnPlateau)."""

    factor: float = Field(gt=0, lt=1, description="the learning rate is multiplied by it")
    patience: int = Field(ge=0, description="epochs without improvement before that")
    min_learning_rate: float = Field(ge=0, description="never below this learning rate")


class OptimizerParameters(Section):
    """One client's optimizer."""

    kind: Literal["adam", "sgd"] = Field(description="adam, or plain sgd without momentum")
    learning_rate: float = Field(gt=0, description="step size at the start of a fit")
    weight_decay: float = Field(ge=0, description="L2 penalty, added to the gradient")
    batch_size: int | None = Field(gt=0, description="rows a step; null: all rows at once")
    plateau: PlateauParameters | None = Field(
        description="learning-rate schedule within one fit or one federated round; null: constant"
    )


class LogisticParameters(Section):
    """Logistic regression by Newton's steps, over all sites' sums."""

    ridge: float = Field(ge=0, description="penalty ridge / 2 ||coefficients||^2; 0: none")
    steps: int = Field(ge=1, le=10_000, description="steps at most")
    tolerance: float = Field(
        gt=0, description="stop once no coefficient changes by more than that in a step"
    )
