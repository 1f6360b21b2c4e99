"""Language models for onnxruntime-genai: a folder of an ONNX graph, its weights, a tokenizer and a
configuration, as one .zip."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

from edgemeter_converters.formats import genai_builder
from edgemeter_converters.formats.format import Encoding, Options
from edgemeter_converters.formats.genai_artifact import GenaiArtifact
from edgemeter_converters.formats.whole_model import WholeModelFormat
from edgemeter_converters.models import llama
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision
from edgemeter_protos.v1 import variant_pb2

_FIRST_DAY = (1980, 1, 1, 0, 0, 0)
"""Of zip's calendar: a file's bytes follow from what is in it alone."""


class ONNXGenAI(WholeModelFormat):
    name = "onnx-genai"
    suffix = ".genai.zip"
    precisions = frozenset({Precision.INT4})
    frameworks = frozenset({"llama"})
    # The version that was tried, on what its own builder makes.
    run_by = (variant_pb2.RuntimeRequirement(runtime="onnxruntime-genai", min_version="0.18.0"),)

    def tools(self, framework: str, precision: Precision) -> tuple[tuple[str, ...], ...]:  # noqa: ARG002
        return (("onnxruntime-genai",), ("onnxruntime",), ("transformers",), ("torch",))

    def refusal(self, framework: str, precision: Precision, options: Options) -> str:  # noqa: ARG002
        if framework not in self.frameworks:
            return f"a {framework} model has no way to onnxruntime-genai, which is for language models"
        return "" if precision in self.precisions else f"{self.name!r} is written with int4 weights only"

    def encode(self, model: LoadedModel, encoding: Encoding) -> bytes:
        """The .zip.

        Raises:
            ConversionError: the builder refuses the model.
        """
        target = encoding.work_dir / "built"
        genai_builder.build(llama.folder_of(model), target, encoding.work_dir)
        return pack(target)

    def open(self, content: bytes) -> GenaiArtifact:
        return GenaiArtifact(content)


def pack(folder: Path) -> bytes:
    """A folder's files in the order of their names, as they are; the same bytes for the same files."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.iterdir()):
            archive.writestr(zipfile.ZipInfo(file.name, _FIRST_DAY), file.read_bytes())
    return packed.getvalue()
