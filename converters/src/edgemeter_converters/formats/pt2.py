"""Exported programs, .pt2, as torch itself runs them.

A file takes a batch of exactly one. It tells no source files and no folders of the machine that made it.
"""

from __future__ import annotations

import io
import warnings
from typing import Any

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats.format import Encoding, Options
from edgemeter_converters.formats.torch_artifact import TorchArtifact
from edgemeter_converters.formats.whole_model import WholeModelFormat
from edgemeter_converters.models import bridge
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision
from edgemeter_protos.v1 import variant_pb2

_REFUSALS = {
    Precision.INT8: "a quantized exported program is a reference, larger and slower than float32;"
    " choose @executorch, or @torchscript",
    Precision.DYNAMIC_INT8: "torch quantizes dynamically in TorchScript only: choose @torchscript",
    Precision.FLOAT16: "torch computes in float16 more slowly than in float32 on processors;"
    " choose @tflite or @onnx",
}


class PT2(WholeModelFormat):
    name = "pt2"
    suffix = ".pt2"
    precisions = frozenset({Precision.FLOAT32})
    frameworks = bridge.FRAMEWORKS
    # Wherever torch has a wheel: x86-64 and 64-bit Arm, no 32-bit board. The archive is read by torch 2.9 and
    # newer; those before 2.13 were not tried.
    run_by = (variant_pb2.RuntimeRequirement(runtime="torch", min_version="2.13.0"),)

    def tools(self, framework: str, precision: Precision) -> tuple[tuple[str, ...], ...]:  # noqa: ARG002
        return (("torch",), ("keras",)) if framework == "keras" else (("torch",),)

    def refusal(self, framework: str, precision: Precision, options: Options) -> str:  # noqa: ARG002
        if framework not in self.frameworks:
            return f"a {framework} model has no way to an exported program"
        if precision is Precision.FLOAT32:
            return ""
        return _REFUSALS.get(precision, f"an exported program has no {precision.value} kernels to run on")

    def encode(self, model: LoadedModel, encoding: Encoding) -> bytes:
        """The archive.

        Raises:
            ConversionError: torch can't follow the model.
        """
        import torch

        program = bridge.exported_program(model, encoding.input_shapes, encoding.work_dir)
        forget_sources(program)
        file = io.BytesIO()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.export.save(program, file)
        except (MemoryError, ImportError):
            raise
        except Exception as error:
            # The serializer raises whatever its assertions happen to raise.
            from edgemeter_converters.models.torch_module import reason_of

            raise ConversionError(f"torch can't save the exported program: {reason_of(error)}") from error
        return file.getvalue()

    def open(self, content: bytes) -> TorchArtifact:
        import torch

        from edgemeter_converters.models import exported_program, torch_module

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.load(io.BytesIO(content))
        module = exported_program.callable_module(program)

        def plainly(*tensors: Any) -> Any:
            with torch_module.without_onednn():
                return module(*tensors)

        return TorchArtifact(
            module,
            plainly,
            exported_program.signature_of(program, "the artifact"),
            torch_module.weights(program),
        )


def forget_sources(program: Any) -> None:
    """Takes out the traces of source files, which name folders, and differ from machine to machine."""
    for module in program.graph_module.modules():
        for node in getattr(getattr(module, "graph", None), "nodes", ()):
            node.meta.pop("stack_trace", None)
