"""The formats that variants are written in, one file each. A new one is a file and a line in `FORMATS`."""

from __future__ import annotations

from types import MappingProxyType

from edgemeter_converters.formats.executorch import ExecuTorch
from edgemeter_converters.formats.format import Artifact, Encoding, Format, Options
from edgemeter_converters.formats.gguf import GGUF
from edgemeter_converters.formats.onnx import ONNX
from edgemeter_converters.formats.onnx_genai import ONNXGenAI
from edgemeter_converters.formats.pt2 import PT2
from edgemeter_converters.formats.tflite import TFLite
from edgemeter_converters.formats.torch_llm import TorchLLM
from edgemeter_converters.formats.torchscript import TorchScript

__all__ = ["FORMATS", "Artifact", "Encoding", "Format", "Options"]

FORMATS: MappingProxyType[str, Format] = MappingProxyType(
    {
        each.name: each
        for each in (TFLite(), ONNX(), ExecuTorch(), TorchScript(), PT2(), GGUF(), ONNXGenAI(), TorchLLM())
    }
)
