"""The two networks of the study: the MLP and AdaptiveDualBranchNet.

Pirmani et al., npj Digital Medicine 8:478 (2025). Both map ``(rows, features)`` to one logit a
row.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ms_pfl.learning.parameters import ExtensionTier, NetworkKind, NetworkParameters

Arrays = Mapping[str, np.ndarray]


def _hidden(n_inputs: int, width: int, layers: int) -> nn.ModuleList:
    sizes = [n_inputs, *[width] * layers]
    return nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(sizes))


def _width(n_features: int, parameters: NetworkParameters) -> int:
    """Units that the core hands on: those of its last layer, or the input's."""
    return parameters.width if parameters.hidden_layers else n_features


@dataclass(frozen=True)
class ReluDropout:
    """ReLU and dropout in one, on the CPU.

    Sixteen random bits decide on a value; torch's dropout draws each value's number one by one,
    which is a fifth of a training step on a CPU.

    Attributes:
        dropped: of 65,536 values, those that are set to zero.
    """

    dropped: int

    @classmethod
    def of(cls, p: float) -> "ReluDropout":
        """Return the one with a dropout of the probability ``p``, rounded to 1 / 65,536."""
        return cls(min(round(p * 2**16), 2**16 - 1))

    @property
    def scale(self) -> float:
        """What values that are kept are multiplied by."""
        return 2**16 / (2**16 - self.dropped)

    def forward_(self, x: Tensor) -> Tensor:
        """Return ``x``, overwritten: a result of the layer before it is not needed any more."""
        bits = torch.empty((x.numel() + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
        values = bits.view(torch.int16)[: x.numel()].view(x.shape).to(x.dtype)
        return x.clamp_min_(0).mul_(values.ge_(self.dropped - 2**15).mul_(self.scale))

    def backward(self, d: Tensor, y: Tensor) -> Tensor:
        """Return the gradient of the input from that of the output ``y``."""
        # y is 0 where x was not above 0 or was dropped
        return torch.ops.aten.threshold_backward(d, y, 0).mul_(self.scale)


class _Recorded(torch.autograd.Function):
    """The same for autograd."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, drop: ReluDropout) -> Tensor:
        ctx.drop = drop
        ctx.mark_dirty(drop.forward_(x))
        ctx.save_for_backward(x)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.drop.backward(gradients[0], *ctx.saved_tensors), None


def relu_dropout(x: Tensor, p: float) -> Tensor:
    """ReLU, then dropout; ``x`` is overwritten.

    Dropout sets a value to zero with probability ``p`` and else scales it up, so that the mean
    stays (Srivastava et al., JMLR 15, 2014). On a CPU ``p`` is rounded to the nearest 1 / 65,536.
    """
    if x.device.type != "cpu":
        return nn.functional.dropout(torch.relu(x), p)
    return _Recorded.apply(x, ReluDropout.of(p))


class Network(nn.Module):
    """What the two networks share: a stack of ReLU layers with dropout."""

    def __init__(self, dropout: float) -> None:
        """Without layers yet: the networks bring their own."""
        super().__init__()
        self.dropout = dropout

    @cached_property
    def weights(self) -> dict[str, nn.Parameter]:
        """All arrays by name; looked up once, as it takes long."""
        return dict(self.named_parameters())

    def _branch(self, layers: nn.ModuleList, x: Tensor) -> Tensor:
        for layer in layers:
            drop = self.training and self.dropout > 0
            x = relu_dropout(layer(x), self.dropout) if drop else torch.relu(layer(x))
        return x


class MLP(Network):
    """Fully connected layers with ReLU and dropout, then one output unit; all shared.

    With 42 features, 5 layers of 512: 1,073,153 parameters, as published. Without hidden layers it
    is logistic regression.
    """

    def __init__(self, n_features: int, parameters: NetworkParameters) -> None:
        """With torch's initial weights, from its global random state."""
        super().__init__(parameters.dropout)
        self.core = _hidden(n_features, parameters.width, parameters.hidden_layers)
        self.output = nn.Linear(_width(n_features, parameters), 1)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape ``(rows,)``, from features, shape ``(rows, features)``."""
        return self.output(self._branch(self.core, x)).squeeze(1)


class AdaptiveDualBranchNet(Network):
    """A shared core and a personal extension side by side, combined by one layer.

    Input -> core (as the MLP's hidden layers) and input -> extension; both are concatenated and
    pass the combining layer and the output unit. The extension is personal; its depth grows with
    the country's training rows (:func:`extension_layers`). As published, no activation follows
    the combining layer and it is shared; ``combining_activation`` and ``combining_personal``
    change that. With 42 features, 5 x 512 and width 64: 1,368,577 shared parameters and 2,752 to
    19,392 personal ones.
    """

    def __init__(
        self, n_features: int, parameters: NetworkParameters, extension_depth: int
    ) -> None:
        """With torch's initial weights, from its global random state."""
        super().__init__(parameters.dropout)
        self.core = _hidden(n_features, parameters.width, parameters.hidden_layers)
        self.extension = _hidden(n_features, parameters.extension_width, extension_depth)
        both = _width(n_features, parameters) + parameters.extension_width
        self.combining = nn.Linear(both, parameters.width)
        self.output = nn.Linear(parameters.width, 1)
        self.activation = parameters.combining_activation

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape ``(rows,)``, from features, shape ``(rows, features)``."""
        both = torch.cat([self._branch(self.core, x), self._branch(self.extension, x)], dim=1)
        combined = self.combining(both)
        if self.activation:
            combined = torch.relu(combined)
        return self.output(combined).squeeze(1)


def extension_layers(training_rows: int, tiers: Sequence[ExtensionTier]) -> int:
    """Hidden layers of the extension of a country with so many training rows."""
    return next(tier.layers for tier in tiers if training_rows >= tier.min_rows)


def array_shapes(
    kind: NetworkKind, n_features: int, parameters: NetworkParameters, extension_depth: int
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a network's arrays by name, without building it."""
    shapes: dict[str, tuple[int, ...]] = {}

    def linear(name: str, inputs: int, outputs: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (outputs, inputs), (outputs,)

    def hidden(name: str, width: int, layers: int) -> None:
        for layer in range(layers):
            linear(f"{name}.{layer}", width if layer else n_features, width)

    hidden("core", parameters.width, parameters.hidden_layers)
    of_core = _width(n_features, parameters)
    if kind == "mlp":
        linear("output", of_core, 1)
    else:
        hidden("extension", parameters.extension_width, extension_depth)
        linear("combining", of_core + parameters.extension_width, parameters.width)
        linear("output", parameters.width, 1)
    return shapes


def build_network(
    kind: NetworkKind, n_features: int, parameters: NetworkParameters, training_rows: int, seed: int
) -> Network:
    """Return a network with initial weights from ``seed``; the global random state is left as it
    was.

    Args:
        kind: ``mlp`` or ``adaptive``.
        n_features: columns of the input.
        parameters: layers and widths.
        training_rows: the country's training rows, which set the depth of the extension.
        seed: the same seed and sizes give the same weights, on the CPU.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if kind == "mlp":
            return MLP(n_features, parameters)
        depth = extension_layers(training_rows, parameters.extension_tiers)
        return AdaptiveDualBranchNet(n_features, parameters, depth)


def get_arrays(model: Network) -> dict[str, np.ndarray]:
    """Return copies of all arrays by name."""
    return {name: weight.detach().cpu().numpy().copy() for name, weight in model.weights.items()}


def set_arrays(model: Network, arrays: Arrays) -> None:
    """Write the arrays named into the model; the rest stay.

    Raises:
        KeyError: an array that the model has not.
        ValueError: an array of another shape.
    """
    for name, array in arrays.items():
        if name not in model.weights:
            raise KeyError(f"the model has no array {name!r}")
        weight = model.weights[name].detach()
        if tuple(weight.shape) != array.shape:
            raise ValueError(
                f"array {name!r} has shape {array.shape}, the model's {tuple(weight.shape)}"
            )
        weight.copy_(torch.tensor(array))
