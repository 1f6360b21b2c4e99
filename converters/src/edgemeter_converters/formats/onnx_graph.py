"""What every ONNX encoding starts from: the model in float, batch 1, simplified, with names that last.

Layers have the names of torch's modules: of their weights ("f.0.weight" gives "f.0"), else of the module that
the exporter noted, with the operator where that has several. Those of a model that came as ONNX have their
nodes' names. The value that a layer hands on, behind an activation that it alone feeds, has the layer's name
too, so that a quantized file's can be held against the float32 file's.
"""

from __future__ import annotations

import ast
import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import bridge
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.models.onnx import graphs, name_nodes, reason_of
from edgemeter_converters.models.onnx_weights import is_float

OPSET = 18
"""Of what is exported here: the one that torch's exporter is written in, so that nothing is converted; it has
per-channel quantization (13), and ONNX Runtime reads it since 1.14."""

IR_VERSION = 8
"""Of what is exported here: the first that has opset 18. onnx 1.23 would write 13, and onnxruntime 1.23 reads
up to 11, 1.17 up to 9."""

BLOCKED_OPSET, BLOCKED_IR_VERSION = 21, 10
"""The first with 4-bit integers, with a scale for each block, and with 16-bit QuantizeLinear."""

MAX_OPSET, MAX_IR_VERSION = 23, 11
"""That onnxruntime 1.23 reads, the last for Python 3.10."""

LAYERS = frozenset(
    {
        "Conv",
        "ConvTranspose",
        "Gemm",
        "MatMul",
        "LSTM",
        "GRU",
        "RNN",
        "Gather",
        "LayerNormalization",
        "InstanceNormalization",
        "Softmax",
    }
)
"""Operators that count as layers. A Gather does where it looks weights up, as an embedding."""

_SCOPES = "pkg.torch.onnx.name_scopes"

ACTIVATIONS = frozenset({"Relu", "Clip"})
"""That quantizers merge into the layer before."""

_WEIGHT_AT = {"Gather": 0}
"""Which input of a layer holds its weights; 1 where not named."""


def float_graph(model: LoadedModel, input_shapes: tuple[tuple[int, ...], ...], work_dir: Path) -> Any:
    """An `onnx.ModelProto` with the model's inputs and outputs in its signature's order.

    Raises:
        ConversionError: torch can't write the model as ONNX, or its operators are newer than boards have.
    """
    if model.framework == "onnx":
        proto = _with_batch_of_one(model, input_shapes)
    else:
        proto = _exported(model, input_shapes, work_dir)
    _name_layers(proto.graph)
    proto = _simplified(proto, work_dir)
    if _add_instead_of_subtracting(proto.graph):
        proto = _simplified(proto, work_dir)
    tidy(proto)
    for node in proto.graph.node:
        node.name = node.name.removesuffix("/MatMulAddFusion")
    name_nodes(proto.graph)
    _name_values(proto.graph)
    return proto


def _with_batch_of_one(model: LoadedModel, input_shapes: tuple[tuple[int, ...], ...]) -> Any:
    import onnx

    content: Any = model.network
    proto = onnx.ModelProto.FromString(content)
    opset = opset_of(proto)
    if opset > MAX_OPSET:
        raise ConversionError(
            f"the model is written in ONNX opset {opset}, and ONNX Runtime on boards reads up to {MAX_OPSET}:"
            f" export it with opset {MAX_OPSET} or lower"
        )
    proto.ir_version = min(proto.ir_version, MAX_IR_VERSION)
    for value, shape in zip(proto.graph.input, input_shapes, strict=True):
        dimensions = value.type.tensor_type.shape.dim
        for dimension, size in zip(dimensions, (1, *shape), strict=True):
            dimension.dim_value = size
    # What was inferred or promised for any batch is inferred anew for this one.
    del proto.graph.value_info[:]
    for value in proto.graph.output:
        value.type.tensor_type.ClearField("shape")
    return proto


def _exported(model: LoadedModel, input_shapes: tuple[tuple[int, ...], ...], work_dir: Path) -> Any:
    program = bridge.exported_program(model, input_shapes, work_dir)
    import torch

    inputs = [f"input_{at}" for at in range(len(model.signature.inputs))]
    outputs = [f"output_{at}" for at in range(len(model.signature.outputs))]
    try:
        exported = torch.onnx.export(
            program,
            (),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=inputs,
            output_names=outputs,
            verbose=False,
        )
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        # The exporter wraps whatever an operator's translation happens to raise.
        raise ConversionError(f"torch can't write the model as ONNX: {_export_reason(error)}") from error
    proto = exported.model_proto
    proto.ir_version = IR_VERSION
    if [each.name for each in proto.graph.input] != inputs or len(proto.graph.output) != len(outputs):
        raise ConversionError(
            f"torch's ONNX exporter made {len(proto.graph.input)} inputs and"
            f" {len(proto.graph.output)} outputs of the model's {len(inputs)} and {len(outputs)}"
        )
    return proto


def _export_reason(error: BaseException) -> str:
    """The innermost cause's first line: "No ONNX function found for <OpOverload(op='aten._fft_r2c', …)>"."""
    while error.__cause__ is not None:
        error = error.__cause__
    return reason_of(error) if isinstance(error, Exception) else repr(error)


def _simplified(proto: Any, work_dir: Path) -> Any:
    """Constants folded, batch normalization merged into convolutions, every shape known: what is the same for
    all processors. All dimensions are fixed, so that shapes need not be inferred as symbols."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    source, target = work_dir / "float.onnx", work_dir / "simplified.onnx"
    onnx.save(proto, source)
    try:
        quant_pre_process(str(source), str(target), skip_symbolic_shape=True)
        return onnx.load(target)
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        # ONNX Runtime and shape inference raise whatever their C++ throws.
        raise ConversionError(f"ONNX Runtime can't prepare the model: {reason_of(error)}") from error


def _add_instead_of_subtracting(graph: Any) -> bool:
    """Turns differences with constants into sums with their negatives; whether there were any.

    Keras's batch normalization arrives as (x - mean) * scale + offset, and of the three ONNX Runtime merges
    all but the difference into a convolution.
    """
    from onnx import numpy_helper

    floats = {tensor.name: tensor for tensor in graph.initializer if is_float(tensor)}
    found = [node for node in graph.node if node.op_type == "Sub" and node.input[1] in floats]
    for node in found:
        name = f"{node.input[1]}_negative"
        if name not in floats:
            floats[name] = numpy_helper.from_array(-numpy_helper.to_array(floats[node.input[1]]), name)
            graph.initializer.append(floats[name])
        node.op_type, node.input[1] = "Add", name
    return bool(found)


def tidy(proto: Any) -> None:
    """Leaves out what no runtime reads: where the exporter's operators came from, shapes that a session
    infers, imports of operator sets that no node uses. Puts initializers in the order of their names, since
    the tools keep them in sets."""
    from onnx import helper

    used = {node.domain for graph in graphs(proto) for node in graph.node} | {""}
    imports = [each for each in proto.opset_import if each.domain in used]
    del proto.opset_import[:]
    proto.opset_import.extend(imports)
    del proto.metadata_props[:]
    del proto.functions[:]
    for graph in graphs(proto):
        _strip(graph)
    del proto.graph.value_info[:]
    initializers = sorted(proto.graph.initializer, key=lambda tensor: tensor.name)
    read = {name for graph in graphs(proto) for node in graph.node for name in node.input}
    read |= {value.name for value in proto.graph.output}
    proto.graph.ClearField("initializer")
    proto.graph.initializer.extend(tensor for tensor in initializers if tensor.name in read)
    proto.producer_name, proto.producer_version, proto.doc_string = "edgemeter", "", ""
    proto.graph.name = "model"
    # A shape that inference could not tell is told by no field at all.
    for value in proto.graph.output:
        if not value.type.tensor_type.HasField("elem_type"):
            value.CopyFrom(helper.make_empty_tensor_value_info(value.name))


def _strip(graph: Any) -> None:
    graph.doc_string = ""
    del graph.metadata_props[:]
    for node in graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    for tensor in graph.initializer:
        tensor.doc_string = ""
        del tensor.metadata_props[:]
    for value in (*graph.input, *graph.output):
        value.doc_string = ""
        del value.metadata_props[:]


def opset_of(proto: Any) -> int:
    return next((int(each.version) for each in proto.opset_import if each.domain in ("", "ai.onnx")), 1)


def with_opset(proto: Any, opset: int) -> Any:
    """The model in at least that opset.

    Raises:
        ConversionError: ONNX can't convert one of its operators.
    """
    from onnx import version_converter

    if opset_of(proto) >= opset:
        return proto
    try:
        return version_converter.convert_version(proto, opset)
    except Exception as error:
        # The converter raises whatever its C++ throws.
        raise ConversionError(
            f"ONNX can't bring the model from opset {opset_of(proto)} to {opset}, which this precision needs:"
            f" {reason_of(error)}"
        ) from error


def layer_nodes(graph: Any) -> Iterator[Any]:
    """The nodes of a float graph that are layers, in order."""
    weights = {tensor.name for tensor in graph.initializer if is_float(tensor)}
    for node in graph.node:
        if node.op_type in LAYERS and (node.op_type != "Gather" or node.input[0] in weights):
            yield node


def _name_layers(graph: Any) -> None:
    initialized = {tensor.name for tensor in graph.initializer}
    taken = {node.name for node in graph.node}
    unnamed = []
    for node in layer_nodes(graph):
        at = _WEIGHT_AT.get(node.op_type, 1)
        weight = node.input[at] if at < len(node.input) else ""
        name = weight.removesuffix(".weight")
        # The exporter stores equal weights of several layers once, under the name of the first.
        if weight in initialized and name != weight and name and name not in taken:
            node.name = name
            taken.add(name)
        else:
            unnamed.append(node)
    in_module = Counter(_module(node) for node in unnamed)
    for node in unnamed:
        module = _module(node)
        if module:
            alone = in_module[module] == 1 and module not in taken
            node.name = module if alone else f"{module}/{node.op_type}"
    name_nodes(graph)


def _module(node: Any) -> str:
    """Of torch's module that a node was exported from: "encoder.attention"; empty where not noted."""
    noted = next((each.value for each in node.metadata_props if each.key == _SCOPES), "[]")
    # A list of the modules' names from the outermost in, and the operator's last.
    scopes = ast.literal_eval(noted)
    return str(scopes[-2]) if len(scopes) > 1 else ""


def _name_values(graph: Any) -> None:
    outputs = {value.name for value in graph.output}
    taken = {name for node in graph.node for name in (*node.input, *node.output)} | outputs
    users = consumers(graph)
    renamed: dict[str, str] = {}
    for node in layer_nodes(graph):
        value = node.output[0]
        following = users.get(value, [])
        if value not in outputs and len(following) == 1 and following[0].op_type in ACTIVATIONS:
            value = following[0].output[0]
        if value not in outputs and node.name not in taken:
            renamed[value] = node.name
    for each in graphs_of(graph):
        for node in each.node:
            for names in (node.input, node.output):
                for at, name in enumerate(names):
                    if name in renamed:
                        names[at] = renamed[name]


def graphs_of(graph: Any) -> Iterator[Any]:
    """A graph and those inside of it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graphs_of(inner)


def consumers(graph: Any) -> dict[str, list[Any]]:
    """The nodes that read each value."""
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    return users


@contextlib.contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turns what a tool raises into one line: "ONNX Runtime can't quantize the model: …"."""
    try:
        yield
    except (MemoryError, ImportError, ConversionError):
        raise
    except Exception as error:
        # The tools raise whatever an operator's handler happens to raise.
        raise ConversionError(f"{what}: {reason_of(error)}") from error
