"""A variant beside the float32 encoding of the same network, layer by layer. For conversion workers only."""

from __future__ import annotations

from pathlib import Path

from edgemeter_converters import build, comparison, recipes
from edgemeter_converters.datasets import Dataset
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats import FORMATS
from edgemeter_converters.formats.format import Encoding, Options
from edgemeter_converters.messages import LayersRequest
from edgemeter_converters.models import LoadedModel
from edgemeter_converters.steps import Precision
from edgemeter_protos.v1 import refusal_pb2, variant_pb2

SAMPLES = 16
"""Every intermediate value of each is held in memory."""


def compare(
    request: LayersRequest, *, model: LoadedModel, dataset: Dataset | None, artifact: bytes, work_dir: Path
) -> list[variant_pb2.LayerError]:
    """How far each layer's outputs are from the float32 file's, in the network's order.

    Args:
        model: what was encoded.
        artifact: the variant's file.

    Raises:
        ConversionError: the format's runtime shows no intermediate values.
    """
    recipe = recipes.parse(request.recipe, model.framework)
    format_ = FORMATS[recipe.format]
    evaluation = build.evaluation_samples(model, request.model.preprocessing, dataset, request.seed)
    inputs = tuple(array[:SAMPLES] for array in evaluation.inputs)
    encoding = Encoding(
        precision=Precision.FLOAT32,
        options=Options(),
        input_shapes=tuple(array.shape[1:] for array in inputs),
        calibration=(),
        work_dir=work_dir,
    )
    theirs = format_.open(format_.encode(model, encoding)).run_layers(inputs)
    ours = format_.open(artifact).run_layers(inputs)
    shared = [name for name in theirs if name in ours and theirs[name][1].shape == ours[name][1].shape]
    if not shared:
        raise ConversionError(
            f"{recipe}: the runtime of {recipe.format!r} shows no values between layers, or none by a name "
            "that the float32 file has too",
            reason=refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
        )
    return [
        variant_pb2.LayerError(
            layer=name,
            kind=ours[name][0],
            error=comparison.output_error([theirs[name][1]], [ours[name][1]]),
        )
        for name in shared
    ]
