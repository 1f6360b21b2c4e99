"""Quantization-aware training of torch modules: what is given back is a float module whose weights are used
to 8-bit rounding; the format then encodes it as int8.

Weights are rounded as int8 kernels have them: symmetric, to ±127 steps of each output channel's largest
magnitude (Jacob et al., arXiv:1712.05877, section 3; a scale for each channel: Krishnamoorthi,
arXiv:1806.08342). With such scales it makes no difference that batch normalization is not folded yet: folding
multiplies whole channels. Inputs of convolutions and dense layers, and the network's outputs, are rounded to
256 steps of a range that is a moving average. Rounding's gradient is taken to be 1 (the straight-through
estimator, Bengio et al., arXiv:1308.3432).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from edgemeter_converters.compress.torch.layers import Weight, transformed, weights, writable_copy
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
    hold = RoundedWeights(rounded, zeros_of(module), per_tensor=bool(context.arguments["per_tensor"]))
    ranges = Ranges(module, keep)
    hold.ranges = ranges
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

    def __init__(self, each_weight: Iterable[Weight], zeros: Masks, *, per_tensor: bool) -> None:
        self.ranges: Ranges | None = None
        self._each_weight = tuple(each_weight)
        self._zeros = zeros
        self._per_tensor = per_tensor
        self._exact: list[Any] = []

    def before_forward(self) -> None:
        self._exact = [each.parameter.detach().clone() for each in self._each_weight]
        with torch.no_grad():
            for each, exact in zip(self._each_weight, self._exact, strict=True):
                each.parameter.copy_(round_weight(exact, None if self._per_tensor else each.output_axis))

    def after_backward(self) -> None:
        with torch.no_grad():
            for each, exact in zip(self._each_weight, self._exact, strict=True):
                each.parameter.copy_(exact)

    def apply(self) -> None:
        self._zeros.apply()

    def state(self) -> dict[str, Any]:
        return dict(self.ranges.limits) if self.ranges else {}

    def restore(self, state: dict[str, Any]) -> None:
        if self.ranges:
            self.ranges.limits = dict(state)


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
        leaves, structure = torch.utils._pytree.tree_flatten(outputs)
        rounded = [
            self._rounded(f"output {at}", leaf) if isinstance(leaf, torch.Tensor) else leaf
            for at, leaf in enumerate(leaves)
        ]
        return torch.utils._pytree.tree_unflatten(rounded, structure)

    def _rounded(self, name: str, values: Any) -> Any:
        if not values.is_floating_point():
            return values
        # Zero is always in the range: padding must be exact.
        seen = torch.stack([values.detach().amin().clamp_max(0), values.detach().amax().clamp_min(0)])
        before = self.limits.get(name)
        self.limits[name] = seen if before is None else MOMENTUM * before + (1 - MOMENTUM) * seen
        return round_activations(values, *self.limits[name])


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
