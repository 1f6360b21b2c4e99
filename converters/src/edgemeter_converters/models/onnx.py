"""ONNX models: checked, brought into one shape, and run by ONNX Runtime.

A loaded model's `network` is the bytes of an .onnx whose functions are inlined, whose constants are
initializers and none of whose initializers is an input too, whatever the file was like.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import onnx_weights
from edgemeter_converters.models.model import LoadedModel
from edgemeter_protos.v1 import refusal_pb2, variant_pb2

MAX_BYTES = (2 << 30) - 1
"""What a protobuf message, and so an .onnx without files beside it, can hold."""

DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Of the operators that ONNX Runtime brings along itself. Any other needs a library of its author's."""

PROVIDER = "CPUExecutionProvider"

DTYPES = MappingProxyType(
    {
        "tensor(float)": "float32",
        "tensor(double)": "float64",
        "tensor(float16)": "float16",
        "tensor(bool)": "bool",
        **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    }
)
"""numpy's names for ONNX Runtime's types."""


def load(path: Path, file_name: str) -> LoadedModel:
    """The model in an .onnx file: no code of the file's own runs, and no other file is read. For conversion
    workers only.

    Raises:
        ConversionError: NOT_A_MODEL, UNSAFE_MODEL or TOO_LARGE.
    """
    from onnx import checker, inliner

    model = _read(path, file_name)
    _refuse_other_files(model, file_name)
    try:
        model = inliner.inline_local_functions(model) if model.functions else model
    except Exception as error:
        # The inliner raises whatever its C++ happens to throw.
        _refuse(file_name, f"its functions can't be inlined: {reason_of(error)}")
    _refuse_own_operators(model, file_name)
    _bring_into_shape(model)
    try:
        checker.check_model(model)
    except (checker.ValidationError, ValueError) as error:
        _refuse(file_name, f"it is no valid ONNX model: {reason_of(error)}")
    content = model.SerializeToString(deterministic=True)
    try:
        loaded = session(content, optimized=False)
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        # ONNX Runtime has a class of exception for each of its codes, and no base of them all.
        _refuse(file_name, f"ONNX Runtime can't run it: {reason_of(error)}")
    signature = _signature(loaded, file_name)
    return LoadedModel(
        framework="onnx",
        network=content,
        signature=signature,
        parameters=sum(weight.size for weight in onnx_weights.weights(model).values()),
    )


def predict(network: Any, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """The network's own outputs, float64, batch first: one array an output.

    One sample at a time: a network with a fixed batch of 1 knows no other way, and one whose operators look
    across the batch would otherwise depend on who else is in it.
    """
    outputs = run_one_by_one(session(network), inputs)
    return tuple(each.astype(np.float64) for each in outputs)


def session(content: bytes, *, optimized: bool = True) -> Any:
    """An `onnxruntime.InferenceSession` on the processor, on one thread.

    Args:
        optimized: whether operators are fused and laid out anew, as by default; without, each runs as the
            file has it, on plainer kernels.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(content, options, providers=[PROVIDER])


def run_one_by_one(loaded: Any, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """A session's outputs for `inputs` (batch first, any length), each cast to what the session takes.

    Raises:
        ConversionError: an output has no batch dimension first.
    """
    names = [(each.name, DTYPES[each.type]) for each in loaded.get_inputs()]
    outputs: list[list[NDArray[Any]]] = [[] for _ in loaded.get_outputs()]
    for sample in range(len(inputs[0])):
        feed = {
            name: np.ascontiguousarray(array[sample : sample + 1], dtype=dtype)
            for (name, dtype), array in zip(names, inputs, strict=True)
        }
        for collected, output in zip(outputs, loaded.run(None, feed), strict=True):
            collected.append(np.asarray(output))
    for meta, collected in zip(loaded.get_outputs(), outputs, strict=True):
        if any(output.ndim == 0 or output.shape[0] != 1 for output in collected):
            raise ConversionError(
                f"output {meta.name!r} has shape {list(collected[0].shape)} for one sample:"
                " the batch has to be an output's first dimension"
            )
    return tuple(np.concatenate(collected) for collected in outputs)


def graphs(model: Any) -> Iterator[Any]:
    """The model's graph, and those in its nodes' attributes: branches and loop bodies."""
    pending = [model.graph]
    while pending:
        graph = pending.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    pending.append(attribute.g)
                pending.extend(attribute.graphs)


def reason_of(error: Exception) -> str:
    """The line of an error of ONNX's or ONNX Runtime's that says why, without its code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = lines[0] if lines else type(error).__name__
    if line.startswith("[ONNXRuntimeError]"):
        # "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find …"
        line = line.split(" : ", 3)[-1]
    return line if len(line) <= 300 else line[:299] + "…"


def _read(path: Path, file_name: str) -> Any:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        size_bytes = path.stat().st_size
        if size_bytes > MAX_BYTES:
            raise ConversionError(
                f"{file_name}: it has {size_bytes:,} bytes; one file of ONNX has at most {MAX_BYTES:,}",
                reason=refusal_pb2.REFUSAL_REASON_TOO_LARGE,
            )
        content = path.read_bytes()
    except FileNotFoundError:
        _refuse(file_name, "there is no such file")
    try:
        model = onnx.ModelProto.FromString(content)
    except DecodeError:
        model = None
    # Bytes of another kind may happen to be a message with nothing in it that is known.
    if model is None or not model.ir_version or not model.graph.output:
        _refuse(file_name, "it is no ONNX model; save one with torch.onnx.export or onnx.save")
    return model


def _refuse_other_files(model: Any, file_name: str) -> None:
    import onnx

    for tensor in _tensors(model):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            places = [entry.value for entry in tensor.external_data if entry.key == "location"]
            _refuse(
                file_name,
                f"its weight {tensor.name!r} is in another file ({', '.join(places) or 'unnamed'});"
                f' save all in one: onnx.save(onnx.load("{file_name}"), "one.onnx")',
            )


def _tensors(model: Any) -> Iterator[Any]:
    nodes = []
    for graph in graphs(model):
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        nodes.extend(graph.node)
    nodes.extend(node for function in model.functions for node in function.node)
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
                yield from (sparse.values, sparse.indices)


def _refuse_own_operators(model: Any, file_name: str) -> None:
    for graph in graphs(model):
        for node in graph.node:
            if node.domain not in DOMAINS:
                raise ConversionError(
                    f"{file_name}: node {(node.name or node.output[0])!r} is {node.domain}::{node.op_type},"
                    " an operator that is not part of ONNX; edgemeter runs no code but ONNX Runtime's own:"
                    " export the model with standard operators",
                    reason=refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL,
                )


def _bring_into_shape(model: Any) -> None:
    """Constants become initializers, initializers cease to be inputs, and each node has a name of its own."""
    from onnx import numpy_helper

    graph = model.graph
    nodes = []
    for node in graph.node:
        held = node.attribute[0] if node.op_type == "Constant" and len(node.attribute) == 1 else None
        if held is not None and held.name == "value":
            tensor = graph.initializer.add()
            tensor.CopyFrom(held.t)
            tensor.name = node.output[0]
        elif held is not None and held.name in ("value_float", "value_floats", "value_int", "value_ints"):
            dtype = np.float32 if "float" in held.name else np.int64
            value = {
                "value_float": held.f,
                "value_floats": list(held.floats),
                "value_int": held.i,
                "value_ints": list(held.ints),
            }[held.name]
            graph.initializer.append(numpy_helper.from_array(np.array(value, dtype), node.output[0]))
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    initialized = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in initialized]
    del graph.input[:]
    graph.input.extend(inputs)
    name_nodes(graph)
    # Since version 4 initializers need not be inputs too.
    model.ir_version = max(model.ir_version, 4)


def name_nodes(graph: Any) -> None:
    """Gives each node without a name, or with another's, one of its own."""
    taken: set[str] = set()
    for node in graph.node:
        stem = name = node.name or f"{node.op_type}_{next(filter(None, node.output), '')}"
        count = 1
        while name in taken:
            count += 1
            name = f"{stem}_{count}"
        node.name = name
        taken.add(name)


def _signature(loaded: Any, file_name: str) -> variant_pb2.Signature:
    for kind, tensors in (("input", loaded.get_inputs()), ("output", loaded.get_outputs())):
        for tensor in tensors:
            if tensor.type not in DTYPES:
                _refuse(file_name, f"{kind} {tensor.name!r} is a {tensor.type}, not a tensor of numbers")
    if not loaded.get_inputs():
        _refuse(file_name, "it has no inputs")
    signature = variant_pb2.Signature(
        inputs=[_spec(each) for each in loaded.get_inputs()],
        outputs=[_spec(each) for each in loaded.get_outputs()],
    )
    for spec in signature.inputs:
        if not spec.shape or spec.shape[0] not in (-1, 1):
            _refuse(
                file_name,
                f"input {spec.name!r} has shape {list(spec.shape)}: the first dimension has to be the batch,"
                " free or 1; export the model so",
            )
    return signature


def _spec(tensor: Any) -> variant_pb2.TensorSpec:
    # A free dimension has a name or None for its size.
    shape = [size if isinstance(size, int) and size > 0 else -1 for size in tensor.shape]
    return variant_pb2.TensorSpec(name=tensor.name, dtype=DTYPES[tensor.type], shape=shape)


def _refuse(file_name: str, what: str) -> NoReturn:
    raise ConversionError(f"{file_name}: {what}", reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL)
