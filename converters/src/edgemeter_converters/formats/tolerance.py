"""How far a device's outputs may be from the golden ones. Pure.

An honest runtime on another processor does not give the same bits: it sums in another order, fuses, or rounds
an integer requantization the other way, and later layers amplify that. A wrong artifact or kernel is off by a
large part of the outputs' range: the failure to be caught, tflite-runtime running a dynamic-range file of
ai-edge-quantizer, puts accuracy at chance. So the bound starts from what was seen on this very artifact: the
most by which two sets of kernels (XNNPACK's and the plain ones) differ here, times `_MARGIN`, and is held
between a floor and a ceiling for the precision, both as shares of the outputs' range.

What the floors and ceilings come from: a trained conv net of 48k parameters with a softmax, on x86-64, where
ai-edge-litert 2.3 was held against its plain kernels, against ai-edge-litert 1.4 and against tflite-runtime
2.14, over 100 to 400 samples. They differed by ≤ 2e-6 in float32 and float16, ≤ 1.1e-3 in dynamic, up to 11
output steps in int8 (one step before a softmax is many after it) and up to 4 in int16x8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.steps import Precision

_MARGIN = 3.0
"""Few samples are compared here, and few kernels; a board has its own."""


@dataclass(frozen=True, kw_only=True)
class _Bounds:
    floor: float
    """Share of the outputs' range."""
    ceiling: float
    """Share of the outputs' range; far below what a wrong result differs by."""
    steps: int
    """Floor in quantization steps of the output, where it is quantized: `floor` is for one that is not."""
    relative: float
    """Share of each golden value."""


_BOUNDS = {
    # Rounding of 24-bit significands (6e-8), accumulated over sums and layers.
    Precision.FLOAT32: _Bounds(floor=1e-5, ceiling=1e-3, steps=0, relative=1e-4),
    # A board may compute in half precision: 11-bit significands (5e-4).
    Precision.FLOAT16: _Bounds(floor=5e-3, ceiling=2e-2, steps=0, relative=5e-3),
    # Activations are cut to 8 bits at run time; one that rounds the other way is 1/255 of its range off.
    Precision.DYNAMIC_INT8: _Bounds(floor=1e-2, ceiling=0.1, steps=0, relative=1e-2),
    Precision.INT8: _Bounds(floor=1e-2, ceiling=0.1, steps=2, relative=0.0),
    # float32 arithmetic, where the runtime makes weights float before it multiplies; some quantize
    # activations on the way, as dynamic range does.
    Precision.WEIGHT_ONLY_INT8: _Bounds(floor=1e-2, ceiling=0.1, steps=0, relative=1e-2),
    Precision.WEIGHT_ONLY_INT4: _Bounds(floor=1e-2, ceiling=0.1, steps=0, relative=1e-2),
    Precision.W4A8: _Bounds(floor=1e-2, ceiling=0.1, steps=0, relative=1e-2),
    # llama.cpp and onnxruntime-genai round activations to 8 bits or not, as the processor's kernels go.
    Precision.Q8_0: _Bounds(floor=1e-2, ceiling=0.1, steps=0, relative=1e-2),
    Precision.Q4_K_M: _Bounds(floor=1e-2, ceiling=0.1, steps=0, relative=1e-2),
    Precision.Q4_0: _Bounds(floor=1e-2, ceiling=0.1, steps=0, relative=1e-2),
    Precision.IQ4_NL: _Bounds(floor=1e-2, ceiling=0.1, steps=0, relative=1e-2),
    Precision.INT4: _Bounds(floor=1e-2, ceiling=0.1, steps=0, relative=1e-2),
    Precision.GPTQ: _Bounds(floor=1e-2, ceiling=0.1, steps=0, relative=1e-2),
    # XNNPACK has no int16 kernels, so nothing is seen here; a step is 1/65536 of the range.
    Precision.INT16X8: _Bounds(floor=1e-3, ceiling=0.02, steps=64, relative=0.0),
}


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """|device - golden| <= absolute + relative * |golden|."""

    absolute: float
    relative: float


def tolerance(
    precision: Precision, golden: Sequence[NDArray[Any]], output_steps: Sequence[float], disagreement: float
) -> Tolerance:
    """The tolerance for an artifact's golden outputs.

    Args:
        precision: what it is encoded with.
        golden: its outputs, real values.
        output_steps: the outputs' quantization scales, none where they are floats.
        disagreement: the most by which two sets of kernels differed on this artifact.
    """
    bounds = _BOUNDS[precision]
    extent = max((float(np.abs(output).max()) for output in golden if output.size), default=0.0)
    step = max(output_steps, default=0.0)
    quantized = bool(step and bounds.steps)
    floor = max(bounds.steps * step if quantized else bounds.floor * extent, float(np.finfo(np.float32).tiny))
    # A coarse quantization of small outputs must not put the ceiling below the floor.
    absolute = min(max(floor, _MARGIN * disagreement), max(floor, bounds.ceiling * extent))
    return Tolerance(absolute=absolute, relative=bounds.relative)


def largest_difference(first: Sequence[NDArray[Any]], second: Sequence[NDArray[Any]]) -> float:
    """Over all outputs and samples; 0 for none."""
    pairs = zip(first, second, strict=True)
    return max((float(np.abs(one - two).max()) for one, two in pairs if one.size), default=0.0)
