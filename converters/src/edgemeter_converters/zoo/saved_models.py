"""SavedModels out of frozen graphs. Imports TensorFlow."""

from __future__ import annotations

import stat
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Shape = tuple[int | None, ...]

_VARIABLE_ELEMENTS = 16
"""Constants with fewer stay what they are: shapes, axes, factors."""


def write(
    path: Path,
    graph: Any,
    *,
    inputs: Mapping[str, tuple[str, Shape]],
    outputs: Mapping[str, tuple[str, Shape]],
) -> Path:
    """A .zip of a SavedModel whose signature computes some tensors of a graph from others.

    Weights become variables, as a model that was never frozen has them: they are counted as its parameters.

    Args:
        graph: a GraphDef.
        inputs: the signature's names, with the tensor that each stands for ("node:0") and its shape; float32.
        outputs: likewise.
    """
    import tensorflow as tf
    from tensorflow.core.framework import graph_pb2

    places = [_node(tensor) for tensor, _ in inputs.values()]
    needed = _between(places, graph, [_node(tensor) for tensor, _ in outputs.values()])
    module = tf.Module()
    module.weights = {
        node.name: tf.Variable(tf.make_ndarray(node.attr["value"].tensor), trainable=False)
        for node in needed.node
        if _is_weight(node)
    }
    # What is given from outside must not be there a second time.
    rest = graph_pb2.GraphDef(versions=graph.versions)
    rest.node.extend(node for node in needed.node if node.name not in module.weights.keys() | set(places))

    def call(*given: Any) -> dict[str, Any]:
        from_outside = {tensor: each for (tensor, _), each in zip(inputs.values(), given, strict=True)}
        from_outside |= {f"{name}:0": tf.convert_to_tensor(each) for name, each in module.weights.items()}
        found = tf.graph_util.import_graph_def(
            rest, input_map=from_outside, return_elements=[tensor for tensor, _ in outputs.values()], name=""
        )
        for tensor, (_, shape) in zip(found, outputs.values(), strict=True):
            tensor.set_shape(shape)
        return dict(zip(outputs, found, strict=True))

    module.serve = tf.function(
        call,
        autograph=False,
        input_signature=[tf.TensorSpec(shape, tf.float32, name) for name, (_, shape) in inputs.items()],
    )
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"serving_default": module.serve})
        _pack(Path(folder), path)
    return path


def _between(inputs: list[str], graph: Any, outputs: list[str]) -> Any:
    """The part of the graph that computes the outputs from these nodes, which take what they are given."""
    import tensorflow as tf
    from tensorflow.core.framework import graph_pb2

    cut = graph_pb2.GraphDef(versions=graph.versions)
    for node in graph.node:
        place = cut.node.add(name=node.name)
        if node.name in inputs:
            place.op = "Placeholder"
            place.attr["dtype"].type = tf.float32.as_datatype_enum
        else:
            place.CopyFrom(node)
            # On which device it shall be, namely on another node's: that node may be gone.
            place.attr.pop("_class", None)
    return tf.compat.v1.graph_util.extract_sub_graph(cut, outputs)


def _is_weight(node: Any) -> bool:
    import tensorflow as tf

    if node.op != "Const":
        return False
    tensor = node.attr["value"].tensor
    elements = int(tf.TensorShape(tensor.tensor_shape).num_elements())
    return bool(tensor.dtype == tf.float32.as_datatype_enum and elements >= _VARIABLE_ELEMENTS)


def _node(tensor: str) -> str:
    return tensor.partition(":")[0]


def _pack(folder: Path, into: Path) -> None:
    """All but a random number that TensorFlow puts beside what it saves: the same file each time."""
    with zipfile.ZipFile(into, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            if path.name == "fingerprint.pb":
                continue
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, path.read_bytes())
