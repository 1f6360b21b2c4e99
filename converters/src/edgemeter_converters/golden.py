"""Golden pairs: inputs, and the outputs that a converted file must give for them, with a tolerance."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What is asked of artifacts of one kind of models.

    Attributes:
        samples: of the pair.
        compared_samples: run on two sets of kernels, to see how far honest runtimes differ on an artifact.
        original_share: how far a float32 artifact may be from the model, as a share of the outputs' range.
        float32: precision of which float32 artifacts' tolerance is.
    """

    samples: int
    compared_samples: int
    original_share: float
    float32: Precision


RULE = Rule(
    samples=4,
    compared_samples=32,
    # A hundred times what reordered sums and folded batch normalization do to 24-bit significands, far below
    # a wrong op.
    original_share=1e-3,
    float32=Precision.FLOAT32,
)

RULE_OF_TEXT = Rule(
    # Each has hundreds of outputs, and takes seconds.
    samples=2,
    compared_samples=2,
    # llama.cpp remembers a text in float16, whatever the weights are: SmolLM2 was off by 1e-3.
    original_share=1e-2,
    float32=Precision.FLOAT16,
)


def rule(model: LoadedModel) -> Rule:
    return RULE_OF_TEXT if model.writes_text else RULE


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
    asked = rule(model)
    inputs = tuple(array[: asked.compared_samples] for array in evaluation)
    outputs = artifact.run(inputs)
    if not all(np.isfinite(output).all() for output in outputs):
        raise ConversionError("the converted model gives NaN or infinity on evaluation samples")
    if precision is Precision.FLOAT32:
        _check_original(model, inputs, outputs, asked.original_share)
    steps = [spec.quantization.scale for spec in artifact.signature.outputs if spec.HasField("quantization")]
    disagreement = largest_difference(outputs, artifact.run_reference(inputs))
    judged_as = asked.float32 if precision is Precision.FLOAT32 else precision
    allowed = tolerance(judged_as, outputs, steps, disagreement)
    arrays = {f"input_{at}": array[: asked.samples] for at, array in enumerate(inputs)}
    arrays |= {f"output_{at}": array[: asked.samples] for at, array in enumerate(outputs)}
    np.savez(path, allow_pickle=False, **arrays)
    return variant_pb2.GoldenPair(
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
        absolute_tolerance=allowed.absolute,
        relative_tolerance=allowed.relative,
    )


def _check_original(
    model: LoadedModel, inputs: Sequence[NDArray[Any]], outputs: tuple[NDArray[Any], ...], share: float
) -> None:
    original = models.predict(model, inputs)
    difference = largest_difference(outputs, original)
    extent = max((float(np.abs(output).max()) for output in original if output.size), default=0.0)
    if difference > share * max(extent, 1.0):
        raise ConversionError(
            f"the float32 file does not compute what the model does: its outputs are off by up to "
            f"{difference:.3g}, where the model's go up to {extent:.3g}"
        )
