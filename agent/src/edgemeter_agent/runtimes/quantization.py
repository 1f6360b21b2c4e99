"""Between real numbers and the integers that stand for them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edgemeter_protos.v1 import variant_pb2

Array = npt.NDArray[np.generic]


def quantize(real: Array, dtype: str, quantization: variant_pb2.AffineQuantization) -> Array:
    """round(real / scale) + zero_point, clipped to the integer type; ties to even, as numpy rounds.

    Raises ValueError where `real` holds a NaN: no integer stands for it.
    """
    if np.isnan(real.astype(np.float64)).any():
        raise ValueError("the input holds NaN, and an integer tensor can't")
    limits = np.iinfo(dtype)
    stored = np.rint(real.astype(np.float64) / quantization.scale) + quantization.zero_point
    clipped: Array = np.clip(stored, limits.min, limits.max).astype(dtype)
    return clipped


def dequantize(stored: Array, quantization: variant_pb2.AffineQuantization) -> npt.NDArray[np.float32]:
    """scale * (stored - zero_point), computed in float64 and rounded once."""
    real = (stored.astype(np.float64) - quantization.zero_point) * quantization.scale
    return real.astype(np.float32)


def to_stored(real: Array, spec: variant_pb2.TensorSpec) -> Array:
    """What the tensor takes for these real values: quantized where it stands for real numbers, and cast where
    it does not. Bytes are real values as well (0 to 255), and their cast to float32 is exact."""
    if spec.HasField("quantization"):
        return np.ascontiguousarray(quantize(real, spec.dtype, spec.quantization))
    return np.ascontiguousarray(real.astype(np.dtype(spec.dtype)))


def to_real(stored: Array, spec: variant_pb2.TensorSpec) -> npt.NDArray[np.float32]:
    if spec.HasField("quantization"):
        return dequantize(stored, spec.quantization)
    return stored.astype(np.float32)
