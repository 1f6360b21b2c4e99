"""Between real numbers and the integers that stand for them. Pure.

real = scale * (stored - zero_point), as in Jacob et al., CVPR 2018, arXiv:1712.05877, equation 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_protos.v1 import variant_pb2


def store(real: NDArray[Any], spec: variant_pb2.TensorSpec) -> NDArray[Any]:
    """`real` as a tensor of that specification stores it: rounded and saturated; cast where it is float."""
    dtype = np.dtype(spec.dtype)
    if not spec.HasField("quantization"):
        return real.astype(dtype)
    limits = np.iinfo(dtype)
    stored = np.rint(real.astype(np.float64) / spec.quantization.scale) + spec.quantization.zero_point
    saturated: NDArray[Any] = np.clip(stored, limits.min, limits.max)
    return saturated.astype(dtype)


def restore(stored: NDArray[Any], spec: variant_pb2.TensorSpec) -> NDArray[Any]:
    """The real numbers, float32, that a tensor of that specification stands for."""
    if not spec.HasField("quantization"):
        return stored.astype(np.float32)
    real = (stored.astype(np.float64) - spec.quantization.zero_point) * spec.quantization.scale
    return real.astype(np.float32)
