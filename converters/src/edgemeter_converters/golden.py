"""Golden pairs: inputs, and the outputs that a converted file must give for them, with a tolerance."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters import models
from edgemeter_converters.datasets import Inputs
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats.format import Artifact
from edgemeter_converters.formats.tolerance import largest_difference, tolerance
from edgemeter_converters.models import LoadedModel
from edgemeter_converters.steps import Precision
from edgemeter_protos.v1 import variant_pb2

GOLDEN_SAMPLES = 4

COMPARED_SAMPLES = 32
"""Run on two sets of kernels, to see how far honest runtimes differ on this artifact."""

WINDOWS = 2
"""Of a language model, for both: each has hundreds of outputs, and takes seconds."""

_ORIGINAL_SHARE = 1e-3
"""How far a float32 artifact may be from the model, as a share of the outputs' range: a hundred times what
reordered sums and folded batch normalization do to 24-bit significands, far below a wrong op."""

_ORIGINAL_SHARE_OF_TEXT = 1e-2
"""llama.cpp remembers a text in float16, whatever the weights are: SmolLM2 was off by 1e-3."""


def write(
    path: Path, artifact: Artifact, model: LoadedModel, precision: Precision, evaluation: Inputs
) -> variant_pb2.GoldenPair:
    """Writes the pair: `input_0`, …, `output_0`, …, batch first, real values.

    Args:
        model: what was encoded.
        evaluation: as the model takes them.

    Raises:
        ConversionError: the artifact gives NaN, or one of float32 does not compute what the model does.
    """
    compared, kept = COMPARED_SAMPLES, GOLDEN_SAMPLES
    if model.framework == "llama":
        compared = kept = WINDOWS
    inputs = tuple(array[:compared] for array in evaluation)
    outputs = artifact.run(inputs)
    if not all(np.isfinite(output).all() for output in outputs):
        raise ConversionError("the converted model gives NaN or infinity on evaluation samples")
    if precision is Precision.FLOAT32:
        _check_original(model, inputs, outputs)
    steps = [spec.quantization.scale for spec in artifact.signature.outputs if spec.HasField("quantization")]
    disagreement = largest_difference(outputs, artifact.run_reference(inputs))
    if model.framework == "llama" and precision is Precision.FLOAT32:
        # What llama.cpp remembers of a text is of float16.
        precision = Precision.FLOAT16
    allowed = tolerance(precision, outputs, steps, disagreement)
    arrays = {f"input_{at}": array[:kept] for at, array in enumerate(inputs)}
    arrays |= {f"output_{at}": array[:kept] for at, array in enumerate(outputs)}
    np.savez(path, allow_pickle=False, **arrays)
    return variant_pb2.GoldenPair(
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
        absolute_tolerance=allowed.absolute,
        relative_tolerance=allowed.relative,
    )


def _check_original(
    model: LoadedModel, inputs: Sequence[NDArray[Any]], outputs: tuple[NDArray[Any], ...]
) -> None:
    original = models.predict(model, inputs)
    difference = largest_difference(outputs, original)
    extent = max((float(np.abs(output).max()) for output in original if output.size), default=0.0)
    share = _ORIGINAL_SHARE_OF_TEXT if model.framework == "llama" else _ORIGINAL_SHARE
    if difference > share * max(extent, 1.0):
        raise ConversionError(
            f"the float32 file does not compute what the model does: its outputs are off by up to "
            f"{difference:.3g}, where the model's go up to {extent:.3g}"
        )
