"""TorchScript, .pt: a traced, frozen network in torch's own format for deployment.

Integer files come from FX graph mode (`torch.ao.quantization`), dynamic ones from `quantize_dynamic`;
both start from a torch module. A quantized file holds integer weights, which the torch that loads it packs
for its own kernels, one of `torch.backends.quantized.supported_engines`: fbgemm on x86-64, oneDNN on 64-bit
Arm. QNNPACK ran a MobileNetV2 wrong that the others ran right (accuracy 0.94 became 0.11), so no file is made
for it, and the golden pair tells where one ends up there all the same.

A TorchScript tells nothing of its inputs, so these carry their signature along, in `extra/signature.json`.
"""

from __future__ import annotations

import copy
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any

from google.protobuf import json_format

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats.format import Encoding, Options
from edgemeter_converters.formats.torch_artifact import TorchArtifact, one_thread
from edgemeter_converters.formats.torch_options import options_refusal
from edgemeter_converters.models import bridge
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision
from edgemeter_protos.v1 import variant_pb2

SIGNATURE_FILE = "signature.json"

_TORCH = variant_pb2.RuntimeRequirement(runtime="torch", min_version="2.13.0")
"""Older ones were not tried."""

_METHODS = {
    "": "HistogramObserver",
    "min-max": "MinMaxObserver",
    "moving-average": "MovingAverageMinMaxObserver",
}
"""Of calibration: torch's observers. The usual one minimizes the squared error over a histogram."""

_KEPT_IN_FLOAT = ("ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
"""oneDNN's integer kernels of these gave wrong results on a U-Net, and 64-bit Arm has no better ones."""

_MANGLED = re.compile(rb"___torch_mangle_\d+")


class TorchScript:
    name = "torchscript"
    suffix = ".pt"
    precisions = frozenset({Precision.FLOAT32, Precision.INT8, Precision.DYNAMIC_INT8})
    frameworks = bridge.FRAMEWORKS | {"torchscript"}

    def tools(self, framework: str, precision: Precision) -> tuple[tuple[str, ...], ...]:  # noqa: ARG002
        return (("torch",), ("keras",)) if framework == "keras" else (("torch",),)

    def refusal(self, framework: str, precision: Precision, options: Options) -> str:
        if framework not in self.frameworks:
            return f"a {framework} model has no way to TorchScript"
        if precision not in self.precisions:
            return f"torch has no {precision.value} kernels for TorchScript"
        if precision is Precision.FLOAT32:
            return ""
        if framework != "torch":
            return "torch quantizes modules that it can trace itself, given as package.module:function"
        if precision is Precision.DYNAMIC_INT8:
            return ""
        return options_refusal(options, "a TorchScript", "torch", _METHODS)

    def runtimes(
        self,
        framework: str,  # noqa: ARG002
        precision: Precision,  # noqa: ARG002
        options: Options,  # noqa: ARG002
    ) -> tuple[variant_pb2.RuntimeRequirement, ...]:
        """Wherever torch has a wheel: x86-64 and 64-bit Arm, no 32-bit board."""
        return (_TORCH,)

    def layers(self, model: LoadedModel, encoding: Encoding) -> tuple[str, ...]:  # noqa: ARG002
        if model.framework != "torch":
            return ()
        return tuple(name for name, module in model.torch.named_modules() if _quantizable(module))

    def encode(self, model: LoadedModel, encoding: Encoding) -> bytes:
        """The archive, without what tells folders of this machine.

        Raises:
            ConversionError: torch can't trace or quantize the model.
        """
        import torch

        from edgemeter_converters.models import torch_module

        try:
            with torch.no_grad(), one_thread(), warnings.catch_warnings(), engine(_engine_here()):
                # Deprecations, and what the tracer thinks of shapes that it takes as constants: they are.
                warnings.simplefilter("ignore")
                return self._encode(model, encoding)
        except (ConversionError, MemoryError, ImportError):
            raise
        except Exception as error:
            # Tracing runs the module's code, and raises whatever that or torch's passes happen to raise.
            raise ConversionError(
                f"torch can't write the model as TorchScript: {torch_module.reason_of(error)}"
            ) from error

    def _encode(self, model: LoadedModel, encoding: Encoding) -> bytes:
        from edgemeter_converters.models import torch_module

        inputs = torch_module.example_inputs(model.signature, encoding.input_shapes)
        signature = _of_one(model.signature, encoding.input_shapes)
        if model.framework == "torchscript":
            return archive(_frozen(model.network), signature)
        if encoding.precision is Precision.INT8:
            module = _static(model.torch, inputs, encoding)
        elif encoding.precision is Precision.DYNAMIC_INT8:
            module = _dynamic(model.torch)
        else:
            from edgemeter_converters.models import exported_program

            # torch.export refuses what tracing would silently take for constant: branches on data.
            program = bridge.exported_program(model, encoding.input_shapes, encoding.work_dir)
            module = exported_program.callable_module(program)
        return archive(_traced(module, inputs), signature)

    def open(self, content: bytes) -> TorchArtifact:
        from edgemeter_converters.models import torch_module

        here, other = _engine_here(), _other_engine()
        script, text = _load(content, here)
        twin = None if other is None else _load_or_none(content, other)
        reference = script if twin is None else twin

        def plainly(*tensors: Any) -> Any:
            with torch_module.without_onednn(), engine(other or here):
                return reference(*tensors)

        def usually(*tensors: Any) -> Any:
            with engine(here):
                return script(*tensors)

        return TorchArtifact(
            usually,
            plainly,
            json_format.Parse(text, variant_pb2.Signature()),
            [*torch_module.weights(script), *packed_weights(script)],
        )


def archive(script: Any, signature: variant_pb2.Signature) -> bytes:
    """A TorchScript's file: the same bytes for the same network.

    torch writes down which source lines, by folder and name, each op comes from, and counts the classes that
    it has made in this process; the former is left out, the latter is counted from the file's beginning.
    """
    import torch

    text = json_format.MessageToJson(signature, indent=None, preserving_proto_field_name=True)
    file = io.BytesIO()
    torch.jit.save(script, file, _extra_files={SIGNATURE_FILE: text})
    file.seek(0)
    reader = torch._C.PyTorchFileReader(file)
    names: dict[bytes, bytes] = {}

    def renamed(match: re.Match[bytes]) -> bytes:
        return names.setdefault(match[0], b"___torch_mangle_%d" % len(names))

    target = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(target)
    written_by_the_writer = (".data/", "byteorder", "version")
    for name in reader.get_all_records():
        if name.endswith(".debug_pkl") or name.startswith(written_by_the_writer):
            continue
        record = reader.get_record(name)
        if name.endswith((".py", ".pkl")):
            # In pickles these stand in class names alone, which end with a line, whatever their length.
            record = _MANGLED.sub(renamed, record)
        writer.write_record(_MANGLED.sub(renamed, name.encode()).decode(), record, len(record))
    writer.write_end_of_file()
    return target.getvalue()


def packed_weights(script: Any) -> list[Any]:
    """The integer weights and the biases that a frozen TorchScript's quantized ops hold, unpacked."""
    found: list[Any] = []
    # Nodes live as long as their graph.
    graph = script.inlined_graph
    for node in graph.findAllNodes("prim::Constant"):
        if node.hasAttribute("value") and node.kindOf("value") == "ival":
            found += _tensors_in(node.ival("value"))
    return found


def _tensors_in(packed: Any) -> list[Any]:
    """Of floats, or quantized; a packed object tells them as its state."""
    import torch
    from torch.utils import _pytree as pytree

    pending, found = [packed], []
    while pending:
        value = pending.pop()
        if isinstance(value, torch.ScriptObject):
            parts = pytree.tree_leaves(value.__getstate__())
            if ".rnn." in value._type().qualified_name():
                # A recurrent cell tells its biases beside its packed parts, which hold them too.
                parts = [each for each in parts if isinstance(each, torch.ScriptObject)]
            pending.extend(parts)
        elif isinstance(value, torch.Tensor) and (value.is_quantized or value.is_floating_point()):
            # One number alone is a scale.
            found += [value] if value.ndim else []
    return found


def _frozen(script: Any) -> Any:
    import torch

    script = script.eval()
    # One that is frozen already has no attribute to tell its mode by.
    return torch.jit.freeze(script) if hasattr(script, "training") else script


def _traced(module: Any, inputs: tuple[Any, ...]) -> Any:
    import torch

    from edgemeter_converters.models import torch_module

    if not torch_module.is_flat(module(*inputs)):
        module = torch_module.flattened(module)
    return torch.jit.freeze(torch.jit.trace(module, inputs, check_trace=False))


def _static(network: Any, inputs: tuple[Any, ...], encoding: Encoding) -> Any:
    import torch
    from torch.ao.quantization import get_default_qconfig_mapping, observer, qconfig
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    options = encoding.options
    method = getattr(observer, _METHODS[options.calibration_method])
    weight = (
        observer.default_weight_observer
        if options.per_tensor
        else observer.default_per_channel_weight_observer
    )
    # reduce_range: fbgemm adds pairs of products in 16 bits on processors without VNNI, which overflow
    # where activations use all of their 8 bits.
    chosen = qconfig.QConfig(activation=method.with_args(reduce_range=True), weight=weight)
    mapping = get_default_qconfig_mapping("fbgemm").set_global(chosen)
    for kind in _KEPT_IN_FLOAT:
        mapping.set_object_type(getattr(torch.nn, kind), None)
    network = copy.deepcopy(network)
    for name, module in network.named_modules():
        kept = any(fnmatchcase(name, pattern) for pattern in options.keep)
        if _quantizable(module) and (kept or not _padded_by_numbers(module)):
            mapping.set_module_name(name, None)
    prepared = prepare_fx(network, mapping, inputs)
    for at in range(len(encoding.calibration[0])):
        prepared(*(torch.from_numpy(each[at : at + 1].copy()) for each in encoding.calibration))
    return convert_fx(prepared)


def _dynamic(network: Any) -> Any:
    import torch

    kinds = {torch.nn.Linear, torch.nn.LSTM, torch.nn.GRU, torch.nn.LSTMCell, torch.nn.GRUCell}
    if not any(type(module) in kinds for module in network.modules()):
        raise ConversionError(
            "torch quantizes Linear, LSTM and GRU layers dynamically, and the model has none of them"
        )
    return torch.ao.quantization.quantize_dynamic(copy.deepcopy(network), kinds, dtype=torch.qint8)


def _quantizable(module: Any) -> bool:
    import torch

    return isinstance(module, torch.nn.Linear | torch.nn.Conv1d | torch.nn.Conv2d | torch.nn.Conv3d)


def _padded_by_numbers(module: Any) -> bool:
    """Whether the layer's padding is in numbers, where it can be: integer convolutions know no "same".

    False for one that would need more on one side than on the other.
    """
    padding = getattr(module, "padding", None)
    if not isinstance(padding, str):
        return True
    # torch, Conv2d: what "same" adds to both sides together; it takes no stride.
    both = [
        dilation * (size - 1) if padding == "same" else 0
        for dilation, size in zip(module.dilation, module.kernel_size, strict=True)
    ]
    if any(each % 2 for each in both):
        return False
    module.padding = tuple(each // 2 for each in both)
    return True


@contextmanager
def engine(name: str) -> Iterator[None]:
    """While this lasts torch's integer ops run on, and pack weights for, the kernels of that name."""
    import torch

    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = name
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


def _engine_here() -> str:
    return next(name for name in ("fbgemm", "onednn", "qnnpack") if name in _engines())


def _other_engine() -> str | None:
    """Another implementation of integer arithmetic than the usual one's."""
    others = (name for name in ("onednn", "qnnpack") if name in _engines() and name != _engine_here())
    return next(others, None)


def _engines() -> list[str]:
    import torch

    return list(torch.backends.quantized.supported_engines)


def _load(content: bytes, engine_name: str) -> tuple[Any, str]:
    """The network, its weights packed for that engine; and the text of its signature."""
    import torch

    extra = {SIGNATURE_FILE: ""}
    with warnings.catch_warnings(), engine(engine_name):
        warnings.simplefilter("ignore")
        script = torch.jit.load(io.BytesIO(content), _extra_files=extra)
    return script, extra[SIGNATURE_FILE]


def _load_or_none(content: bytes, engine_name: str) -> Any:
    """None where that engine has no kernel for one of the network's integer ops."""
    try:
        return _load(content, engine_name)[0]
    except RuntimeError:
        return None


def _of_one(
    signature: variant_pb2.Signature, input_shapes: Sequence[tuple[int, ...]]
) -> variant_pb2.Signature:
    """The signature for a batch of 1 of samples of those shapes."""
    inputs = [
        variant_pb2.TensorSpec(name=spec.name, dtype=spec.dtype, shape=[1, *shape])
        for spec, shape in zip(signature.inputs, input_shapes, strict=True)
    ]
    outputs = [
        variant_pb2.TensorSpec(name=spec.name, dtype=spec.dtype, shape=[1, *spec.shape[1:]])
        for spec in signature.outputs
    ]
    return variant_pb2.Signature(inputs=inputs, outputs=outputs)
