"""What holds Keras weights to a form that the optimizer does not know of: zeros, few different values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.training import schedule

PRUNED_SHARE = 0.05
"""Of a tensor's weights: at least so many exact zeros are an earlier step's doing, and stay."""

MAX_SHARED = 256
"""Different values of a tensor: as few of so many weights are an earlier step's doing, and stay shared."""

_MIN_PER_VALUE = 4


class Hook:
    """What fine-tuning asks at each step; as it stands, nothing is held."""

    def gradient(self, variable: Any, gradient: Any) -> Any:  # noqa: ARG002
        """The gradient that the optimizer is to see; both are tensors of a TensorFlow graph."""
        return gradient

    def after_step(self, step: int, total_steps: int) -> None:
        """After each optimizer step, counted from 0 through all epochs."""

    def state(self) -> dict[str, NDArray[Any]]:
        """What a restart needs to go on."""
        return {}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        """Args:
        state: as `state` gave it.
        """


class Masks(Hook):
    """Weights that stay zero.

    Args:
        variables: those that are held.
        masks: of each: True where a weight is free.
        choose: the mask of weights for a sparsity, while training raises it; None for masks that stay.
        final: the sparsity at the end.
    """

    def __init__(
        self,
        variables: Sequence[Any],
        masks: Sequence[NDArray[np.bool_]],
        choose: Callable[[NDArray[Any], float], NDArray[np.bool_]] | None = None,
        final: float = 0.0,
    ) -> None:
        import tensorflow as tf

        self._variables, self._choose, self._final = list(variables), choose, final
        self._masks = [tf.Variable(each, dtype=tf.bool, trainable=False) for each in masks]

        def write_zeros() -> None:
            for variable, mask in zip(self._variables, self._masks, strict=True):
                # No product: that would leave negative zeros, other bytes for the same number.
                variable.assign(tf.where(mask, variable.value, tf.zeros_like(variable.value)))

        self._write_zeros = tf.function(write_zeros, autograph=False)

    def after_step(self, step: int, total_steps: int) -> None:
        if self._choose is not None and schedule.is_mask_step(step, total_steps):
            share = schedule.sparsity(step, total_steps, self._final)
            for variable, mask in zip(self._variables, self._masks, strict=True):
                mask.assign(self._choose(np.asarray(variable), share))
        self._write_zeros()

    def state(self) -> dict[str, NDArray[Any]]:
        return {str(at): mask.numpy() for at, mask in enumerate(self._masks)}

    def restore(self, state: Mapping[str, NDArray[Any]]) -> None:
        for at, mask in enumerate(self._masks):
            mask.assign(state[str(at)])


class SharedValues(Hook):
    """Weights of which some are always equal: a shared value's gradient is the sum of its weights' (Han et
    al., Deep Compression, arXiv:1510.00149, section 3.3).

    Args:
        variables: those that are held.
        numbers: of each, integers of its shape: weights of one number are equal.
    """

    def __init__(self, variables: Sequence[Any], numbers: Sequence[NDArray[np.integer[Any]]]) -> None:
        import tensorflow as tf

        self._numbers = {
            id(variable): (tf.constant(each.reshape(-1), tf.int32), int(each.max()) + 1)
            for variable, each in zip(variables, numbers, strict=True)
        }

        def equalize() -> None:
            for variable in variables:
                variable.assign(self._spread(tf.math.unsorted_segment_mean, variable, variable.value))

        self._equalize = tf.function(equalize, autograph=False)

    def gradient(self, variable: Any, gradient: Any) -> Any:
        import tensorflow as tf

        if id(variable) not in self._numbers:
            return gradient
        return self._spread(tf.math.unsorted_segment_sum, variable, gradient)

    def after_step(self, step: int, total_steps: int) -> None:  # noqa: ARG002
        # Equal gradients moved them alike but for the last bit.
        self._equalize()

    def _spread(self, over_segments: Callable[..., Any], variable: Any, values: Any) -> Any:
        import tensorflow as tf

        numbers, count = self._numbers[id(variable)]
        each = over_segments(tf.reshape(values, [-1]), numbers, count)
        return tf.reshape(tf.gather(each, numbers), variable.shape)


def kept_forms(network: Any) -> tuple[Hook, ...]:
    """What earlier steps made of a network's weights, to be held while it is trained again.

    A tensor that is all zeros is free: that is how some networks start a branch.
    """
    zeros: list[tuple[Any, NDArray[np.bool_]]] = []
    shared: list[tuple[Any, NDArray[np.integer[Any]]]] = []
    for variable in network.trainable_variables:
        weights = np.asarray(variable)
        if weights.ndim < 2 or not weights.any():
            continue
        if np.count_nonzero(weights == 0) >= max(1, PRUNED_SHARE * weights.size):
            zeros.append((variable, weights != 0))
        values, numbers = np.unique(weights, return_inverse=True)
        if len(values) <= min(MAX_SHARED, weights.size // _MIN_PER_VALUE):
            shared.append((variable, numbers.reshape(weights.shape)))
    hooks: list[Hook] = []
    if shared:
        hooks.append(SharedValues([each for each, _ in shared], [each for _, each in shared]))
    if zeros:
        hooks.append(Masks([each for each, _ in zeros], [each for _, each in zeros]))
    return tuple(hooks)
