"""What a person sets about the network and its training."""

import itertools
from collections.abc import Sequence
from typing import Annotated, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, field_validator, model_validator

from ms_pfl.config import Section
from ms_pfl.errors import InputError

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


def _from_the_largest(given: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(sorted(set(given), reverse=True))


Strengths: TypeAlias = Annotated[
    tuple[Annotated[float, Field(gt=0, le=1e12, allow_inf_nan=False)], ...],
    Field(max_length=50),
    AfterValidator(_from_the_largest),
]
"""Weights of a penalty to choose from, the largest first, each once."""


class LogisticParameters(Section):
    """Logistic regression by Newton's steps, over all sites' sums."""

    ridge: float = Field(ge=0, description="penalty ridge / 2 ||coefficients||^2; 0: none")
    steps: int = Field(ge=1, le=10_000, description="steps at most")
    tolerance: float = Field(
        gt=0, description="stop once no coefficient changes by more than that in a step"
    )
    local_ridges: Strengths = Field(
        default=(),
        description="ridges of a country alone, of which its validation log-loss chooses; without "
        "validation patients the largest; none: ridge",
    )
    strengths: Strengths = Field(
        default=(),
        description="fine-tuned: of the pull to the federated coefficients, strength / 2 "
        "||own - federated||^2, of which the country's validation log-loss chooses; the federated "
        "model itself is always among them, and alone without validation patients",
    )
    private_slopes: tuple[str, ...] = Field(
        default=(),
        description="adaptive: features of which each country has a linear coefficient of its own, "
        "beside its intercept",
    )
    private_shapes: tuple[str, ...] = Field(
        default=(),
        description="adaptive: features of which each country has coefficients of its own for all "
        "columns that are made of them, so a smooth term where there are knots",
    )

    @property
    def private(self) -> tuple[str, ...]:
        """The features of which countries have coefficients of their own."""
        return (*self.private_slopes, *self.private_shapes)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if twice := [name for name in self.private if self.private.count(name) > 1]:
            raise ValueError(f"private_slopes and private_shapes have {twice[0]!r} twice")
        return self


MOST_BINS = 64
"""Bins of a feature, at most."""
Direction = Literal[-1, 1]


class TreesParameters(Section):
    """Boosted trees, over all sites' sums."""

    trees: int = Field(default=300, ge=1, le=10_000, description="trees at most")
    depth: int = Field(default=3, ge=1, le=6, description="levels of nodes that split, at most")
    learning_rate: float = Field(
        default=0.1, gt=0, le=1, description="that the values of the leaves are multiplied by"
    )
    bins: int = Field(
        default=32, ge=2, le=MOST_BINS, description="bins of a feature at most, beside missing"
    )
    l2: float = Field(default=20.0, ge=0, description="penalty l2 / 2 value^2 of each leaf")
    least_hessian: float = Field(
        default=10.0,
        gt=0,
        description="sum of p (1 - p) over the rows of each child of a split, at least",
    )
    least_gain: float = Field(
        default=0.0, ge=0, description="that a split has to take from twice the penalized log-loss"
    )
    columns: float = Field(
        default=0.5, gt=0, le=1, description="share of the features that are drawn per tree"
    )
    patience: int = Field(
        default=25, ge=1, description="trees without a better validation log-loss before the end"
    )
    evaluate_every: int = Field(
        default=5, ge=1, description="trees from one look at the validation log-loss to the next"
    )
    positive_weight: float = Field(
        default=1.0, gt=0, le=1000, description="weight of the rows with the outcome"
    )
    monotone: dict[str, Direction] = Field(
        default={},
        description="features with which the risk may only rise (1) or only fall (-1), by name",
    )
    private_every: int = Field(
        default=5,
        ge=0,
        description="adaptive: shared trees after which a country grows a private one; 0: none",
    )
    own_trees: int = Field(
        default=50,
        ge=0,
        le=10_000,
        description="fine-tuned: trees of the country's own on top of the federated ones, at most",
    )
    personal_depth: int = Field(
        default=2, ge=1, le=6, description="depth of private trees and of a country's own"
    )
    personal_learning_rate: float = Field(
        default=0.05, gt=0, le=1, description="learning_rate of these trees"
    )
    personal_l2: float = Field(default=20.0, ge=0, description="l2 of these trees")
    personal_least_hessian: float = Field(
        default=10.0, gt=0, description="least_hessian of these trees"
    )

    def directions(self, features: Sequence[str]) -> NDArray[np.int8]:
        """Return 1, -1 or 0 for each feature, see ``monotone``, shape ``(features,)``.

        Raises:
            InputError: a feature that is named is none of them.
        """
        for name in self.monotone:
            if name not in features:
                raise InputError(
                    f"monotone of the boosted trees: there is no feature {name!r}; there are: "
                    f"{', '.join(features)}"
                )
        return np.array([self.monotone.get(name, 0) for name in features], dtype=np.int8)


MOST_LEVELS = 64
"""A feature with more is no one-hot one."""
SCALE_OF_THE_LABEL = "EDSS_at_0"
"""The registry's label is a step function of it, so its levels are inputs of their own."""


class InputParameters(Section):
    """What rows become before a learner sees them."""

    kind: Literal["standard", "encoded", "binned"] = Field(
        description="standard: each feature scaled, missing values filled with the mean "
        "(published); encoded: as the settings below say; binned: what boosted trees have "
        "by themselves"
    )
    numbers: Literal["normal_scores", "standardized"] = Field(
        description="each feature as normal score of its rank, or as it is, standardized"
    )
    one_hot: Literal["auto"] | tuple[str, ...] = Field(
        description="features with an indicator per level at full weight; auto: "
        f"{SCALE_OF_THE_LABEL}, where there is one"
    )
    indicators: bool = Field(description="an indicator of missing values per feature that has them")
    level_columns: int = Field(
        ge=0,
        le=25,
        description="further features with at most so many levels get a column per level, shrunk "
        "by level_scale; 0: none",
    )
    level_scale: float = Field(gt=0, le=1, description="that these columns are multiplied by")
    knots: int = Field(
        ge=0, le=20, description="knots of a linear spline of each continuous feature; 0: none"
    )
    knot_scale: float = Field(gt=0, le=1, description="that its columns are multiplied by")
    bins: int = Field(
        ge=0, le=100, description="piecewise linear columns of each continuous feature; 0: none"
    )

    @property
    def needs_scaler(self) -> bool:
        """Whether mean and standard deviation of each feature are asked for."""
        return self.kind == "standard" or (
            self.kind == "encoded" and self.numbers == "standardized"
        )

    def largest_width(self, n_features: int) -> int:
        """Return how many columns so many features become at most."""
        if self.kind != "encoded":
            return n_features
        one_hot = 1 if self.one_hot == "auto" else len(self.one_hot)
        parts = 1 + self.indicators + self.level_columns + self.knots + self.bins
        return n_features * parts + MOST_LEVELS * one_hot

    def one_hot_of(self, features: Sequence[str]) -> tuple[int, ...]:
        """Return the positions of the features with an indicator per level at full weight.

        Raises:
            InputError: a feature that is named is none of them.
        """
        if self.one_hot == "auto":
            return tuple(i for i, name in enumerate(features) if name == SCALE_OF_THE_LABEL)
        for name in self.one_hot:
            if name not in features:
                raise InputError(
                    f"training.inputs.one_hot: there is no feature {name!r}; there are: "
                    f"{', '.join(features)}"
                )
        return tuple(features.index(name) for name in self.one_hot)
