"""Layers that compute with what 8-bit integers would leave of their weights and values, for training.

Rounding passes gradients straight through (Bengio et al., arXiv:1308.3432). Importing this imports Keras: for
conversion workers only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

WEIGHT_LEVELS = 127
"""int8 weights are symmetric: -127 to 127."""

VALUE_LEVELS = 255
"""Steps between the lowest and the highest of 256 values."""

RANGE_MOMENTUM = 0.95
"""Of the moving averages of values' ranges, as a batch goes by: an epoch may have no more than 20."""

_TINY = 1e-12

CONVOLUTIONS = frozenset({"Conv1D", "Conv2D", "Conv3D"})
TRANSPOSED = frozenset({"Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"})
DEPTHWISE = frozenset({"DepthwiseConv1D", "DepthwiseConv2D"})
SEPARABLE = frozenset({"SeparableConv1D", "SeparableConv2D"})
ROUNDED = frozenset({"Dense", *CONVOLUTIONS, *TRANSPOSED, *DEPTHWISE, *SEPARABLE})
"""The layers that `RoundedLayer` knows."""

FUSED_ACTIVATIONS = frozenset({"linear", "relu", "relu6"})
"""Those that integer kernels apply before they round: what they are given is not rounded itself."""


class RoundedValues(keras.Layer):  # type: ignore[misc]
    """Values as their 8-bit representation gives them back; their range is a moving average over batches."""

    def build(self, input_shape: Any) -> None:  # noqa: ARG002
        zeros = {"shape": (), "initializer": "zeros", "trainable": False}
        self.low = self.add_weight(name="low", **zeros)
        self.high = self.add_weight(name="high", **zeros)
        self.batches = self.add_weight(name="batches", **zeros)

    def call(self, values: Any, training: bool = False) -> Any:
        if training:
            momentum = ops.where(self.batches > 0, RANGE_MOMENTUM, 0.0)
            for bound, found in ((self.low, ops.min(values)), (self.high, ops.max(values))):
                now = ops.stop_gradient(ops.cast(found, bound.dtype))
                bound.assign(momentum * bound + (1 - momentum) * now)
            self.batches.assign_add(1.0)
        # Zero is exact, as in TFLite: padding is made of it.
        low, high = ops.minimum(self.low, 0.0), ops.maximum(self.high, 0.0)
        step = ops.maximum(high - low, _TINY) / VALUE_LEVELS
        zero = ops.round(-low / step)
        low, high = -zero * step, (VALUE_LEVELS - zero) * step
        within = ops.clip(values, low, high)
        return within + ops.stop_gradient(ops.round(within / step) * step - within)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


class RoundedLayer(keras.Layer):  # type: ignore[misc]
    """A dense or convolutional layer with rounded weights.

    Args:
        layer: one of `ROUNDED`, not built; the weights are its.
        per_tensor: one scale for the whole kernel, not one for each output channel.
        factor: what batch normalization will multiply each output channel by once it is folded into the
            kernel, which is rounded after that; None for nothing.
    """

    def __init__(self, layer: Any, *, per_tensor: bool, factor: Callable[[], Any]) -> None:
        super().__init__(name=layer.name)
        self.layer = layer
        self._per_tensor = per_tensor
        self._factor = factor
        name = getattr(layer.activation, "__name__", "linear")
        self._before = None if name in FUSED_ACTIVATIONS else RoundedValues(name=f"{layer.name}_sums")

    def build(self, input_shape: Any) -> None:
        self.layer.build(input_shape)
        if self._before is not None:
            self._before.build(self.layer.compute_output_shape(input_shape))

    def call(self, values: Any, training: bool = False) -> Any:
        layer = self.layer
        sums = self._product(values)
        if layer.use_bias:
            sums = sums + layer.bias
        if self._before is not None:
            sums = self._before(sums, training=training)
        return sums if layer.activation is None else layer.activation(sums)

    def set_weights(self, weights: Any) -> None:
        self.layer.set_weights(weights)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def _product(self, values: Any) -> Any:
        layer, kind = self.layer, type(self.layer).__name__
        if kind == "Dense":
            return ops.matmul(values, self._rounded(layer.kernel, (-1,)))
        if kind in CONVOLUTIONS:
            return layer.convolution_op(values, self._rounded(layer.kernel, (-1,)))
        options = {"strides": layer.strides, "padding": layer.padding, "data_format": layer.data_format}
        if kind in TRANSPOSED:
            kernel = self._rounded(layer.kernel, (-2,))
            return ops.conv_transpose(
                values,
                kernel,
                output_padding=layer.output_padding,
                dilation_rate=layer.dilation_rate,
                **options,
            )
        if kind in DEPTHWISE:
            kernel = self._rounded(layer.kernel, (-2, -1))
            return ops.depthwise_conv(values, kernel, dilation_rate=layer.dilation_rate, **options)
        depthwise = self._rounded(layer.depthwise_kernel, (-2, -1), folded=False)
        pointwise = self._rounded(layer.pointwise_kernel, (-1,))
        return ops.separable_conv(values, depthwise, pointwise, dilation_rate=layer.dilation_rate, **options)

    def _rounded(self, kernel: Any, channel_axes: tuple[int, ...], *, folded: bool = True) -> Any:
        """Args:
        channel_axes: those over which a kernel has output channels.
        """
        kernel = ops.convert_to_tensor(kernel)
        rank = len(kernel.shape)
        factor = self._factor() if folded else None
        if factor is None:
            scaled, back = kernel, 1.0
        else:
            shape = [size if at - rank in channel_axes else 1 for at, size in enumerate(kernel.shape)]
            factor = ops.stop_gradient(ops.reshape(factor, shape))
            # A channel that is multiplied by nothing has nothing to be rounded.
            factor = ops.where(ops.abs(factor) < _TINY, 1.0, factor)
            scaled, back = kernel * factor, 1 / factor
        over = None if self._per_tensor else [at for at in range(rank) if at - rank not in channel_axes]
        largest = ops.max(ops.abs(scaled), axis=over, keepdims=True)
        step = ops.stop_gradient(ops.maximum(largest, _TINY) / WEIGHT_LEVELS)
        return kernel + ops.stop_gradient(ops.round(scaled / step) * step * back - kernel)


def factor_of(normalization: Any) -> Any:
    """What a built batch normalization multiplies each channel by in inference."""
    factor = 1 / ops.sqrt(normalization.moving_variance + normalization.epsilon)
    return factor if normalization.gamma is None else factor * normalization.gamma
