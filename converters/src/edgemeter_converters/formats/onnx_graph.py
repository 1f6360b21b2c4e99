"""ONNX graphs: which nodes are layers, what they are called, what no runtime reads.

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
from typing import Any

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.onnx import graphs, name_nodes, reason_of
from edgemeter_converters.models.onnx_weights import is_float

BLOCKED_OPSET, BLOCKED_IR_VERSION = 21, 10
"""The first with 4-bit integers, with a scale for each block, and with 16-bit QuantizeLinear."""

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


def name_layers(graph: Any) -> None:
    """Names the layers of what torch exported after its modules; before tools leave out its notes."""
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


def name_values(graph: Any) -> None:
    """Names what layers hand on after the layers; a model's outputs keep their names."""
    outputs = {value.name for value in graph.output}
    fixed = outputs | {each.name for each in (*graph.input, *graph.initializer)}
    users = consumers(graph)
    renamed: dict[str, str] = {}
    for node in layer_nodes(graph):
        value = node.output[0]
        following = users.get(value, [])
        if value not in outputs and len(following) == 1 and following[0].op_type in ACTIVATIONS:
            value = following[0].output[0]
        if value not in outputs and node.name not in fixed:
            renamed[value] = node.name
    for name in list(renamed.values()):
        # Another value's name, often that of what the activation takes.
        renamed.setdefault(name, f"{name}_inner")
    for each in graphs_of(graph):
        for node in each.node:
            for names in (node.input, node.output):
                for at, name in enumerate(names):
                    if name in renamed:
                        names[at] = renamed[name]


def free_fusions_names(graph: Any) -> None:
    """Gives other names to what ONNX Runtime's fusion of matrix products named: it fuses again when a session
    begins, and then takes its own first name for free ("Attempt to replace the existing tensor")."""
    for each in graphs_of(graph):
        for tensor in each.initializer:
            tensor.name = _free_name(tensor.name)
        for value in each.value_info:
            value.name = _free_name(value.name)
        for node in each.node:
            for names in (node.input, node.output):
                for at, name in enumerate(names):
                    names[at] = _free_name(name)


def _free_name(name: str) -> str:
    return f"fused_{name}" if name.startswith(_MADE_UP) else name


_MADE_UP = ("gemm_input_", "gemm_output_")


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
