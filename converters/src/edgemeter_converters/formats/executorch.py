"""ExecuTorch programs, .pte, for XNNPACK.

The way is torch.export, then `to_edge_transform_and_lower` with XNNPACK's partitioner; what XNNPACK has no
kernel for runs on ExecuTorch's portable ones. int8 is torchao's PT2E with XNNPACK's quantizer, as described
in Jacob et al., CVPR 2018, arXiv:1712.05877: weights by channel, activations by tensor. Such a file takes and
gives float32: the quantizer puts the first scaling into the network.

A file takes a batch of exactly one. Inputs and outputs stand in the order of the original model's signature.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats import executorch_constants
from edgemeter_converters.formats.format import Encoding, Options
from edgemeter_converters.formats.torch_artifact import one_thread, run_samples
from edgemeter_converters.formats.torch_options import options_refusal
from edgemeter_converters.models import bridge
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision
from edgemeter_protos.v1 import variant_pb2

_EXECUTORCH = variant_pb2.RuntimeRequirement(runtime="executorch", min_version="1.5.1")
"""Older ones were not tried."""

_METHODS = {
    "": "HistogramObserver",
    "min-max": "MinMaxObserver",
    "moving-average": "MovingAverageMinMaxObserver",
}
"""Of calibration: torchao's observers. The usual one minimizes the squared error over a histogram."""

_SMALLEST_SCALE = 2**-12
"""As XNNPACK's quantizer has it."""

_NUDGE = 2.0**-20
"""Relative; about what reordering a sum of a few hundred float32 products changes."""

_REFUSALS = {
    Precision.FLOAT16: "XNNPACK's float16 kernels need a processor that has float16 arithmetic, and the file"
    " no longer runs on others; choose @tflite or @onnx",
    Precision.DYNAMIC_INT8: "ExecuTorch converts dynamic convolutions to what fails at run time; choose int8",
}

_SCALAR_TYPES = ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
"""ExecuTorch's numbers of element types (`executorch.exir.scalar_type.ScalarType`), from 0; 11 is bool."""


class ExecuTorch:
    name = "executorch"
    suffix = ".pte"
    precisions = frozenset({Precision.FLOAT32, Precision.INT8})
    frameworks = bridge.FRAMEWORKS

    def tools(self, framework: str, precision: Precision) -> tuple[tuple[str, ...], ...]:
        used: list[tuple[str, ...]] = [("executorch",), ("torch",)]
        if precision is Precision.INT8:
            used.append(("torchao",))
        if framework == "keras":
            used.append(("keras",))
        return tuple(used)

    def refusal(self, framework: str, precision: Precision, options: Options) -> str:
        if framework not in self.frameworks:
            return f"a {framework} model has no way to ExecuTorch"
        if precision not in self.precisions:
            return _REFUSALS.get(
                precision, f"ExecuTorch's XNNPACK backend is given no {precision.value} here"
            )
        if precision is Precision.FLOAT32:
            return ""
        return options_refusal(options, "an ExecuTorch file for XNNPACK", "torchao", _METHODS)

    def runtimes(
        self,
        framework: str,  # noqa: ARG002
        precision: Precision,  # noqa: ARG002
        options: Options,  # noqa: ARG002
    ) -> tuple[variant_pb2.RuntimeRequirement, ...]:
        """On x86-64 and 64-bit Arm with glibc 2.28 or newer, beside torch: its Python runtime needs it."""
        return (_EXECUTORCH,)

    def layers(self, model: LoadedModel, encoding: Encoding) -> tuple[str, ...]:
        """Names of the modules that hold a quantizable op, or of the op where the graph knows no module."""
        if encoding.precision is not Precision.INT8:
            return ()
        program = bridge.exported_program(model, encoding.input_shapes, encoding.work_dir)
        names = [layer_of(node) for node in program.graph.nodes if _has_weights(node)]
        return tuple(dict.fromkeys(names))

    def encode(self, model: LoadedModel, encoding: Encoding) -> bytes:
        """The program.

        Raises:
            ConversionError: torch can't follow the model, or ExecuTorch has no kernel for one of its ops.
        """
        from edgemeter_converters.models import torch_module

        program = bridge.exported_program(model, encoding.input_shapes, encoding.work_dir)
        try:
            with warnings.catch_warnings(), one_thread():
                # What exir and torchao deprecate in each other.
                warnings.simplefilter("ignore")
                if encoding.precision is Precision.INT8:
                    program = _quantized(model, program, encoding)
                return lower(program)
        except (ConversionError, MemoryError, ImportError):
            raise
        except Exception as error:
            # exir's passes and verifiers raise whatever they happen to raise.
            raise ConversionError(
                f"ExecuTorch can't convert the model: {torch_module.reason_of(error)}"
            ) from error

    def open(self, content: bytes) -> ExecuTorchArtifact:
        return ExecuTorchArtifact(content)


class ExecuTorchArtifact:
    """A .pte in ExecuTorch's Python runtime, on one thread."""

    notes: tuple[str, ...] = ()

    def __init__(self, content: bytes) -> None:
        from executorch.runtime import Runtime

        self._program = Runtime.get().load_program(content)
        self._method = self._program.load_method("forward")
        self.signature = signature_of(self._method.metadata)
        self.parameters, self.non_zero_parameters = executorch_constants.count(content)

    def run(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        return run_samples(lambda *tensors: self._method.execute(tensors), inputs, self.signature)

    def run_reference(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """On inputs that differ by one part in a million.

        A .pte is bound to XNNPACK's kernels, so here is no second set of them to compare with. Inputs nudged
        by what another order of summation amounts to go through the same amplification, layer by layer, and
        have integer roundings fall the other way, as another processor's kernels would.
        """
        random = np.random.RandomState(0)
        nudged = [
            each * (1 + _NUDGE * random.choice([-1.0, 1.0], each.shape)).astype(each.dtype)
            if np.issubdtype(each.dtype, np.floating)
            else each
            for each in inputs
        ]
        return self.run(nudged)

    def run_layers(self, inputs: Sequence[NDArray[Any]]) -> dict[str, tuple[str, NDArray[Any]]]:  # noqa: ARG002
        """None: its runtime shows no intermediate values of what XNNPACK computes."""
        return {}


def lower(program: Any) -> bytes:
    """The .pte of an exported program."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    return bytes(lowered.to_executorch().buffer)


def signature_of(metadata: Any) -> variant_pb2.Signature:
    """Of a method, from ExecuTorch's own description of it; it knows no names."""

    def spec(name: str, info: Any) -> variant_pb2.TensorSpec:
        number = int(info.dtype())
        dtype = "bool" if number == 11 else _SCALAR_TYPES[number]
        return variant_pb2.TensorSpec(name=name, dtype=dtype, shape=[int(size) for size in info.sizes()])

    return variant_pb2.Signature(
        inputs=[spec(f"input_{at}", metadata.input_tensor_meta(at)) for at in range(metadata.num_inputs())],
        outputs=[
            spec(f"output_{at}", metadata.output_tensor_meta(at)) for at in range(metadata.num_outputs())
        ],
    )


def layer_of(node: Any) -> str:
    """The module that an op of an exported program belongs to, by its dotted name; else the op's own."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    return _own_name(paths[-1]) if paths and _own_name(paths[-1]) else str(node.name)


def _own_name(path: str) -> str:
    """Without the wrappers that the bridge puts around a network."""
    parts = [part for part in path.replace("L['self']", "").split(".") if part]
    while parts and parts[0] in ("network", "program"):
        parts.pop(0)
    return ".".join(parts)


def _has_weights(node: Any) -> bool:
    name = str(node.target)
    return node.op == "call_function" and name.startswith(("aten.conv", "aten.linear"))


def _quantized(model: LoadedModel, program: Any, encoding: Encoding) -> Any:
    import torch
    from executorch.backends.xnnpack.quantizer import xnnpack_quantizer as xnnpack
    from torchao.quantization import pt2e
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    from edgemeter_converters.models import torch_module

    options = encoding.options
    usual = xnnpack.get_symmetric_quantization_config(is_per_channel=not options.per_tensor)
    observer = getattr(pt2e, _METHODS[options.calibration_method]).with_args(eps=_SMALLEST_SCALE)
    activation = dataclasses.replace(usual.input_activation, observer_or_fake_quant_ctr=observer)
    config = dataclasses.replace(usual, input_activation=activation, output_activation=activation)
    quantizer = xnnpack.XNNPACKQuantizer().set_global(config)
    quantizer.set_filter_function(
        lambda node: not any(fnmatchcase(layer_of(node), pattern) for pattern in options.keep)
    )
    with torch.no_grad():
        prepared = prepare_pt2e(program.module(check_guards=False), quantizer)
        for at in range(len(encoding.calibration[0])):
            prepared(*(torch.from_numpy(each[at : at + 1].copy()) for each in encoding.calibration))
        converted = convert_pt2e(prepared)
        inputs = torch_module.example_inputs(model.signature, encoding.input_shapes)
        return torch.export.export(converted, inputs)
