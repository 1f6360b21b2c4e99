"""GGUF, llama.cpp's file: a language model, its tokenizer and all there is to know of it.

Files of floats are written here; llama.cpp's own program quantizes them. Whatever it writes, llama.cpp itself
reads too: kinds that only the fork knows whose program it is are not used.
"""

from __future__ import annotations

from edgemeter_converters.formats import gguf_quantizer, gguf_writer
from edgemeter_converters.formats.format import Encoding, Options
from edgemeter_converters.formats.gguf_artifact import GGUFArtifact
from edgemeter_converters.formats.whole_model import WholeModelFormat
from edgemeter_converters.models import llama
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision
from edgemeter_protos.v1 import variant_pb2


class GGUF(WholeModelFormat):
    name = "gguf"
    suffix = ".gguf"
    precisions = frozenset({Precision.FLOAT32, Precision.FLOAT16, *gguf_quantizer.KINDS})
    frameworks = frozenset({"llama"})
    run_by = (variant_pb2.RuntimeRequirement(runtime="llama.cpp"),)

    def tools(self, framework: str, precision: Precision) -> tuple[tuple[str, ...], ...]:  # noqa: ARG002
        return (("gguf",), ("ik-llama-cpp-python",))

    def refusal(self, framework: str, precision: Precision, options: Options) -> str:  # noqa: ARG002
        if framework not in self.frameworks:
            return f"a {framework} model has no way to GGUF, which is for language models"
        return "" if precision in self.precisions else f"llama.cpp has no {precision.value} weights"

    def encode(self, model: LoadedModel, encoding: Encoding) -> bytes:
        """The file.

        Raises:
            ConversionError: a GGUF can't tell the model's tokenizer, or the quantizer refuses it.
        """
        folder, floats = llama.folder_of(model), encoding.work_dir / "floats.gguf"
        gguf_writer.write(folder, floats, half=encoding.precision is Precision.FLOAT16)
        if encoding.precision not in gguf_quantizer.KINDS:
            return floats.read_bytes()
        # From float32: rounding twice would lose a little more.
        quantized = encoding.work_dir / "quantized.gguf"
        gguf_quantizer.quantize(floats, quantized, encoding.precision, llama.shape_of(folder))
        return quantized.read_bytes()

    def open(self, content: bytes) -> GGUFArtifact:
        return GGUFArtifact(content)
