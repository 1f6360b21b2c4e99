"""Pictures made of latents: how much they change, and whether they still look like the original's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from edgemeter_converters.steps.parameter import Arguments, canonical
from edgemeter_converters.tasks import pictures
from edgemeter_converters.tasks.frechet import fid
from edgemeter_converters.tasks.task import LABELS, ORIGINAL, TaskKind, Truth
from edgemeter_protos.v1 import variant_pb2


class Generative:
    """A model whose one output is pictures (batch, height, width, channels) or (batch, channels, height,
    width) with 1 or 3 channels; its inputs are latents, the same ones for every variant."""

    sample_noun = "picture"
    needs_original = True
    needs_inputs = False

    def __init__(self, arguments: Arguments) -> None:
        self.text = str(canonical("generative", (pictures.RANGE,), arguments))
        self._range = str(arguments["range"])

    def fits(self, signature: variant_pb2.Signature) -> bool:
        return len(signature.outputs) == 1 and pictures.picture_shaped(signature.outputs[0].shape)

    def misfit(self, labels: variant_pb2.TensorSpec) -> str:
        return pictures.labels_misfit(labels, "generative")

    def metrics(self, outputs: Sequence[NDArray[Any]], truth: Truth) -> tuple[variant_pb2.Quality, ...]:
        """Against labels, which are real pictures, of which none belongs to an output: `fid_fashion`. Against
        the original's pictures of the same latents: `psnr` (dB), `ssim`, `mse` and `fid_fashion`.

        Where there are too few pictures for `fid_fashion` (see `frechet.fid`), or too small ones for `ssim`,
        these are left out. Intervals are Student's t over pictures, `fid_fashion` has none.
        """
        if len(outputs) != 1:
            raise ValueError(f"generative scores one output, got {len(outputs)}")
        made = pictures.from_outputs(outputs[0], self._range, "the outputs")
        found: list[variant_pb2.Quality | None] = []
        if truth.original is not None:
            pictures.check_range(truth.original[0], self._range, self.text)
        if truth.labels is not None:
            found.append(fid(LABELS, made, pictures.from_labels(truth.labels, self._range)))
        if truth.original is not None:
            original = pictures.from_outputs(truth.original[0], self._range, "the original's outputs")
            found += pictures.fidelity(ORIGINAL, made, original)
            found.append(fid(ORIGINAL, made, original))
        return tuple(each for each in found if each is not None)


KIND = TaskKind(
    name="generative",
    summary="Pictures made of latents: PSNR, SSIM and a small net's FID against the original's",
    make=Generative,
    parameters=(pictures.RANGE,),
    example="generative(symmetric)",
)
