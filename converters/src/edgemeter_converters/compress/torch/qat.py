"""Quantization-aware training of torch modules: what is given back is a float module whose weights are used
to 8-bit rounding; the format then encodes it as int8.

Weights are rounded as int8 kernels have them: symmetric, to ±127 steps of each output channel's largest
magnitude (Jacob et al., arXiv:1712.05877, section 3; a scale for each channel: Krishnamoorthi,
arXiv:1806.08342). With such scales it makes no difference that batch normalization is not folded yet: folding
multiplies whole channels. With one scale for a tensor it does, and weights are rounded as they will be when
folded. Inputs of convolutions and dense layers, and the network's outputs, are rounded to
256 steps of a range that is a moving average. Rounding's gradient is taken to be 1 (the straight-through
estimator, Bengio et al., arXiv:1308.3432).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils import _pytree as pytree

from edgemeter_converters.compress.torch.layers import (
    Weight,
    sample_inputs,
    transformed,
    weights,
    writable_copy,
)
from edgemeter_converters.compress.torch.zeros import Masks, zeros_of
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import training_arguments
from edgemeter_converters.steps.transform import Context, Transformed
from edgemeter_converters.training.torch import Hold, fine_tune

STEPS_OF_WEIGHTS = 127
"""From zero to the largest magnitude: int8 without -128, as TFLite and ONNX Runtime have weights."""

STEPS_OF_ACTIVATIONS = 255
"""From the lowest value to the highest."""

MOMENTUM = 0.9
"""Of a range's moving average, which starts at the first batch's range. Jacob et al. take .99 and more, for
runs of 10⁵ steps and more."""


def apply(model: LoadedModel, context: Context) -> Transformed:
    """A float model, trained for int8.

    Raises:
        ConversionError: it has nothing to quantize, or fine-tuning failed.
    """
    keep = context.arguments["keep"] or ()
    assert isinstance(keep, tuple)
    module = writable_copy(model)
    rounded = [each for each in weights(module, embeddings=True) if not is_kept(each.layer, keep)]
    if not rounded:
        raise ConversionError("qat: no layer has weights to round to int8, or all are kept in float")
    per_tensor = bool(context.arguments["per_tensor"])
    norms = folded_norms(module, sample_inputs(model, context)) if per_tensor else {}
    ranges = Ranges(module, keep)
    hold = RoundedWeights(rounded, zeros_of(module), ranges, norms, per_tensor=per_tensor)
    tuning = training_arguments.read(context.arguments, context.seed)
    handles = ranges.attach()
    try:
        history = fine_tune(module, context, tuning, hold=hold, keep_statistics=True)
    finally:
        for handle in handles:
            handle.remove()
    return Transformed(
        model=transformed(model, module),
        epochs=history.epochs,
        first_loss=history.first_loss,
        last_loss=history.last_loss,
        notes=history.notes if tuning.epochs else ("Not trained: it is what int8 alone gives.",),
    )


def is_kept(layer: str, keep: Sequence[str]) -> bool:
    """Whether a layer's name fits any of those names and patterns."""
    return any(fnmatchcase(layer, pattern) for pattern in keep)


class RoundedWeights(Hold):
    """Lets the network see rounded weights, and the optimizer those that they were rounded from.

    Weights never leave the range that is their own largest magnitude, so that the straight-through gradient
    is the rounded weights' own.
    """

    def __init__(
        self,
        each_weight: Iterable[Weight],
        zeros: Masks,
        ranges: Ranges,
        norms: Mapping[str, Any],
        *,
        per_tensor: bool,
    ) -> None:
        """Args:
        zeros: to be held as well.
        ranges: of activations, which a checkpoint keeps.
        norms: the batch normalization that will be folded into a layer, by the layer's name.
        per_tensor: whether a weight has one scale, not one for each output channel.
        """
        self._each_weight = tuple(each_weight)
        self._zeros, self._ranges, self._norms = zeros, ranges, norms
        self._per_tensor = per_tensor
        self._exact: list[Any] = []

    def before_forward(self) -> None:
        self._exact = [each.parameter.detach().clone() for each in self._each_weight]
        with torch.no_grad():
            for each, exact in zip(self._each_weight, self._exact, strict=True):
                each.parameter.copy_(self._rounded(each, exact))

    def after_backward(self) -> None:
        with torch.no_grad():
            for each, exact in zip(self._each_weight, self._exact, strict=True):
                each.parameter.copy_(exact)

    def apply(self) -> None:
        self._zeros.apply()

    def state(self) -> dict[str, Any]:
        return dict(self._ranges.limits)

    def restore(self, state: dict[str, Any]) -> None:
        self._ranges.limits = dict(state)

    def _rounded(self, weight: Weight, exact: Any) -> Any:
        if not self._per_tensor:
            return round_weight(exact, weight.output_axis)
        norm = self._norms.get(weight.layer)
        if norm is None:
            return round_weight(exact, None)
        shape = [1] * exact.ndim
        shape[weight.output_axis] = -1
        factor = (norm.weight / (norm.running_var + norm.eps).sqrt()).reshape(shape)
        # A channel that is multiplied by zero is nothing to round.
        return torch.where(factor == 0, exact, round_weight(exact * factor, None) / factor)


class Ranges:
    """Rounds activations while hooks are attached.

    Attributes:
        limits: lowest and highest value by a layer's name, (2,), float32; "" is for outputs.
    """

    def __init__(self, module: Any, keep: Sequence[str]) -> None:
        self.limits: dict[str, Any] = {}
        self._module = module
        self._layers = {
            name: each
            for name, each in module.named_modules()
            if isinstance(each, _ConvNd | nn.Linear) and not is_kept(name, keep)
        }

    def attach(self) -> list[Any]:
        """Hooks, to be removed."""
        handles = [
            each.register_forward_pre_hook(
                lambda _, given, name=name: (self._rounded(f"input of {name}", given[0]), *given[1:])
            )
            for name, each in self._layers.items()
        ]
        handles.append(self._module.register_forward_hook(lambda _, __, given: self._rounded_all(given)))
        return handles

    def _rounded_all(self, outputs: Any) -> Any:
        leaves, structure = pytree.tree_flatten(outputs)
        rounded = [
            self._rounded(f"output {at}", leaf) if isinstance(leaf, torch.Tensor) else leaf
            for at, leaf in enumerate(leaves)
        ]
        return pytree.tree_unflatten(rounded, structure)

    def _rounded(self, name: str, values: Any) -> Any:
        if not values.is_floating_point():
            return values
        # Zero is always in the range: padding must be exact.
        seen = torch.stack([values.detach().amin().clamp_max(0), values.detach().amax().clamp_min(0)])
        before = self.limits.get(name)
        self.limits[name] = seen if before is None else MOMENTUM * before + (1 - MOMENTUM) * seen
        return round_activations(values, *self.limits[name])


def folded_norms(module: Any, inputs: Sequence[Any]) -> dict[str, Any]:
    """The batch normalization that takes a convolution's or dense layer's outputs, by that layer's name."""
    made: dict[int, tuple[str, Any]] = {}
    found: dict[str, Any] = {}

    def makes(name: str) -> Any:
        # The tensor is kept, so that no other gets its identity.
        return lambda _, __, output: made.update({id(output): (name, output)})

    def takes(norm: Any, given: tuple[Any, ...]) -> None:
        if id(given[0]) in made:
            found[made[id(given[0])][0]] = norm

    handles = []
    for name, each in module.named_modules():
        if isinstance(each, _ConvNd | nn.Linear):
            handles.append(each.register_forward_hook(makes(name)))
        elif isinstance(each, _BatchNorm) and each.affine and each.track_running_stats:
            handles.append(each.register_forward_pre_hook(takes))
    with torch.no_grad():
        module(*inputs)
    for handle in handles:
        handle.remove()
    return found


def round_weight(weight: Any, axis: int | None) -> Any:
    """The nearest values that int8 weights can have.

    Args:
        axis: along which each entry has a scale of its own; None for one scale.
    """
    if axis is None:
        largest = weight.abs().amax()
    else:
        largest = weight.abs().amax(dim=[at for at in range(weight.ndim) if at != axis], keepdim=True)
    scale = (largest / STEPS_OF_WEIGHTS).clamp_min(torch.finfo(weight.dtype).tiny)
    return (weight / scale).round() * scale


def round_activations(values: Any, low: Any, high: Any) -> Any:
    """The nearest values that int8 activations of that range can have; outside of it the gradient is 0."""
    scale = ((high - low) / STEPS_OF_ACTIVATIONS).clamp_min(torch.finfo(values.dtype).tiny)
    zero_point = (-low / scale).round()
    steps = (values / scale).round() + zero_point
    rounded = (steps.clamp(0, STEPS_OF_ACTIVATIONS) - zero_point) * scale
    clamped = values.clamp(-zero_point * scale, (STEPS_OF_ACTIVATIONS - zero_point) * scale)
    return clamped + (rounded - clamped).detach()
