r"""Training steps of the two networks on the CPU, with their gradients written out.

For small networks autograd's records and the classes of ``torch.optim`` cost more than the
arithmetic. With :math:`n` rows in a batch, the mean log-loss has the gradient
:math:`d = (\sigma(z) - y) / n` with respect to the logits :math:`z`. A layer
:math:`z = a W^\top + b` with inputs :math:`a`, shape ``(rows, inputs)``, turns the gradient
:math:`d` of its outputs, shape ``(rows, outputs)``, into

.. math::

    \partial W = d^\top a, \qquad \partial b = \sum_{\text{rows}} d, \qquad \partial a = d W.

Through ReLU and dropout, whose output is :math:`h`, it becomes :math:`d\,[h > 0] / (1 - p)`.
Branches that are side by side take their own columns of it.

The kernels are those that autograd and ``torch.optim`` call, over arrays of the same layout, and
random numbers are drawn in the same order: the weights are equal bit by bit.
"""

from collections.abc import Callable, Iterable
from typing import TypeGuard

import torch
from torch import Tensor, nn

from ms_pfl.learning.networks import MLP, AdaptiveDualBranchNet, Network, ReluDropout


def applies(model: Network, x: Tensor) -> TypeGuard[MLP | AdaptiveDualBranchNet]:
    """Return whether the gradients of this network over such features are written out."""
    return type(model) in (MLP, AdaptiveDualBranchNet) and x.device.type == "cpu"


class Gradients:
    """The gradients of a network in training mode, batch by batch."""

    def __init__(self, model: MLP | AdaptiveDualBranchNet) -> None:
        """Take a network that :func:`applies` to; each of its weights gets a ``grad``."""
        drop = ReluDropout.of(model.dropout) if model.dropout > 0 else None
        stacks, self._combining, self._activation = [model.core], None, False
        if isinstance(model, AdaptiveDualBranchNet):
            stacks.append(model.extension)
            self._combining, self._activation = _Layer(model.combining), model.activation
        self._branches = [_Branch(layers, drop) for layers in stacks]
        self._output = _Layer(model.output)

    def write(self, x: Tensor, y: Tensor) -> Tensor:
        """Write the gradients of the mean log-loss of a batch into ``grad`` of the weights.

        Args:
            x: features, shape ``(rows, features)``.
            y: labels 0/1, shape ``(rows,)``.

        Returns:
            The mean log-loss, of no dimension.
        """
        outputs = [branch.forward(x) for branch in self._branches]
        h = outputs[0]
        if self._combining is not None:
            h = self._combining.forward(torch.cat(outputs, dim=1))
            if self._activation:
                h = torch.relu(h)
        z = self._output.forward(h).squeeze(1)
        loss = nn.functional.binary_cross_entropy_with_logits(z, y)
        d = self._output.backward(torch.sigmoid(z).sub_(y).div_(len(y)).unsqueeze(1))
        parts: Iterable[Tensor] = [d]
        if self._combining is not None:
            if self._activation:
                d = torch.ops.aten.threshold_backward(d, h, 0)
            widths = [output.shape[1] for output in outputs]
            parts = self._combining.backward(d).split(widths, dim=1)
        for branch, part in zip(self._branches, parts, strict=True):
            branch.backward(part)
        return loss


class _Layer:
    """A layer of weights."""

    def __init__(self, layer: nn.Module) -> None:
        assert isinstance(layer, nn.Linear)
        self._weight, self._bias = layer.weight.detach(), layer.bias.detach()
        layer.weight.grad = self._of_weight = torch.empty_like(self._weight)
        layer.bias.grad = self._of_bias = torch.empty_like(self._bias)

    def forward(self, a: Tensor) -> Tensor:
        self._a = a
        return nn.functional.linear(a, self._weight, self._bias)

    def backward(self, d: Tensor, *, onwards: bool = True) -> Tensor:
        """Write the gradients of the weights, and return that of the inputs where it goes on."""
        torch.mm(d.t(), self._a, out=self._of_weight)
        torch.sum(d, 0, out=self._of_bias)
        return torch.mm(d, self._weight) if onwards else d


class _Branch:
    """Layers with ReLU and dropout after each."""

    def __init__(self, layers: Iterable[nn.Module], drop: ReluDropout | None) -> None:
        self._layers = [_Layer(layer) for layer in layers]
        self._drop = drop
        self._outputs: list[Tensor] = []

    def forward(self, h: Tensor) -> Tensor:
        self._outputs.clear()
        for layer in self._layers:
            z = layer.forward(h)
            h = torch.relu_(z) if self._drop is None else self._drop.forward_(z)
            self._outputs.append(h)
        return h

    def backward(self, d: Tensor) -> None:
        for number in reversed(range(len(self._layers))):
            h = self._outputs[number]
            if self._drop is None:
                d = torch.ops.aten.threshold_backward(d, h, 0)
            else:
                d = self._drop.backward(d, h)
            d = self._layers[number].backward(d, onwards=number > 0)


def optimizer_step(optimizer: torch.optim.Optimizer) -> Callable[[], None]:
    """Return what does a step of an optimizer as training makes it: Adam, or SGD.

    It reads the learning rate of the optimizer at each step, and needs a gradient of each weight.
    """
    (group,) = optimizer.param_groups
    weights = [weight.detach() for weight in group["params"]]
    gradients = [weight.grad for weight in group["params"]]

    def sgd() -> None:
        rate, decay = group["lr"], group["weight_decay"]
        for weight, gradient in zip(weights, gradients, strict=True):
            if decay:
                gradient.add_(weight, alpha=decay)
            weight.add_(gradient, alpha=-rate)

    if isinstance(optimizer, torch.optim.SGD):
        return sgd
    means, squares = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    steps = torch.zeros(())

    def adam() -> None:
        steps.add_(1)
        torch._fused_adam_(
            weights,
            gradients,
            means,
            squares,
            [],
            [steps] * len(weights),
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    return adam
