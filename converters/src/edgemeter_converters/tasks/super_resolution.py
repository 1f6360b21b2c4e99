"""Pictures made larger: how near they come to what they were made small from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from edgemeter_converters.steps.parameter import Arguments, canonical
from edgemeter_converters.tasks import pictures
from edgemeter_converters.tasks.task import LABELS, ORIGINAL, TaskKind, Truth
from edgemeter_protos.v1 import variant_pb2


class SuperResolution:
    """A model whose one output is pictures (batch, height, width, channels) or (batch, channels, height,
    width) with 1 or 3 channels; labels are the pictures that it should have made."""

    sample_noun = "frame"
    needs_original = True
    needs_inputs = False

    def __init__(self, arguments: Arguments) -> None:
        self.text = str(canonical("super-resolution", (pictures.RANGE,), arguments))
        self._range = str(arguments["range"])

    def fits(self, signature: variant_pb2.Signature) -> bool:
        return len(signature.outputs) == 1 and pictures.picture_shaped(signature.outputs[0].shape)

    def misfit(self, labels: variant_pb2.TensorSpec) -> str:
        return pictures.labels_misfit(labels, "super-resolution")

    def metrics(self, outputs: Sequence[NDArray[Any]], truth: Truth) -> tuple[variant_pb2.Quality, ...]:
        """`psnr` (dB), `ssim` and `mse` against the true pictures, and against the original's.

        Over all channels and to the very edge, where papers often take luminance alone and cut the edge off:
        their figures are a decibel or more higher. Intervals are Student's t over pictures.
        """
        if len(outputs) != 1:
            raise ValueError(f"super-resolution scores one output, got {len(outputs)}")
        made = pictures.from_outputs(outputs[0], self._range, "the outputs")
        found: list[variant_pb2.Quality] = []
        if truth.original is not None:
            pictures.check_range(truth.original[0], self._range, self.text)
        if truth.labels is not None:
            found += pictures.fidelity(LABELS, made, pictures.from_labels(truth.labels, self._range))
        if truth.original is not None:
            original = pictures.from_outputs(truth.original[0], self._range, "the original's outputs")
            found += pictures.fidelity(ORIGINAL, made, original)
        return tuple(found)


KIND = TaskKind(
    name="super-resolution",
    summary="Pictures made larger: PSNR and SSIM against the true ones, and against the original's",
    make=SuperResolution,
    parameters=(pictures.RANGE,),
    example="super-resolution(unit)",
)
