"""How far apart an output's values lie, channel by channel: what an error in them is measured by. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST_VALUES = 16
"""Of a channel: fewer say too little of its variance."""

LEAST_SHARE = 0.01
"""Of the whole output's variance: a channel that hardly changes must not outweigh all others."""


def variances(values: NDArray[np.floating], channel_axis: int) -> NDArray[np.float64]:
    """Of an output (samples, …), for each channel; above 0, and of as many dimensions as `values`.

    A detector's head has sizes and scores side by side: by one variance for all of them, errors of what
    varies little would be next to free (Shu et al., Channel-wise Knowledge Distillation, arXiv:2011.13256).
    """
    wide = values.astype(np.float64)
    # A constant output has no variance to be a share of.
    whole = max(float(wide.var()), 1e-6 * float(np.square(wide).mean()), 1e-12)
    shape = [1] * wide.ndim
    if wide.ndim < 2 or wide.size // wide.shape[channel_axis] < LEAST_VALUES:
        return np.full(shape, whole)
    shape[channel_axis] = wide.shape[channel_axis]
    others = tuple(axis for axis in range(wide.ndim) if axis != channel_axis % wide.ndim)
    each: NDArray[np.float64] = np.maximum(wide.var(axis=others), LEAST_SHARE * whole)
    return each.reshape(shape)
