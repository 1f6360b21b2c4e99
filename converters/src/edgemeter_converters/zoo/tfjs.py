"""TensorFlow.js models: a JSON topology, and weights in .bin files. Needs no TensorFlow.js.

Format: github.com/tensorflow/tfjs, tfjs-converter/src/graph_model.ts and tfjs-core/src/io/types.ts.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = dict[str, NDArray[Any]]


def weights(model: Mapping[str, Any], files: Mapping[str, Path]) -> Weights:
    """By name, float32 where they are kept as float16 or as whole numbers with a scale.

    Args:
        model: the JSON file's content.
        files: of `weightsManifest`'s paths.

    Raises:
        ValueError: the files hold more or less than the manifest says.
    """
    found: Weights = {}
    for group in model["weightsManifest"]:
        content = b"".join(files[Path(path).name].read_bytes() for path in group["paths"])
        at = 0
        for each in group["weights"]:
            quantization = each.get("quantization")
            kept = np.dtype(quantization["dtype"] if quantization else each["dtype"]).newbyteorder("<")
            count = math.prod(each["shape"])
            if at + count * kept.itemsize > len(content):
                raise ValueError(f"the weights end within {each['name']}")
            values = np.frombuffer(content, kept, count, at).reshape(each["shape"])
            at += count * kept.itemsize
            if quantization and "scale" in quantization:
                values = values * quantization["scale"] + quantization["min"]
            found[each["name"]] = values.astype(each["dtype"])
        if at != len(content):
            raise ValueError(f"{len(content) - at} bytes follow the last weight")
    return found


def graph(path: Path, files: Mapping[str, Path]) -> Any:
    """A graph model as a TensorFlow GraphDef, its weights in its constants. Imports TensorFlow."""
    import tensorflow as tf
    from google.protobuf import json_format
    from tensorflow.core.framework import graph_pb2

    model = json.loads(path.read_text(encoding="utf-8"))
    values = weights(model, files)
    topology = {key: model["modelTopology"][key] for key in ("node", "versions")}
    read = json_format.ParseDict(topology, graph_pb2.GraphDef())
    whole = graph_pb2.GraphDef(versions=read.versions)
    for node in read.node:
        if node.op == "Const":
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(values[node.name]))
        whole.node.extend(_apart(node) if node.op in _FUSED else [node])
    return whole


_FUSED = {"_FusedConv2D": "Conv2D", "FusedDepthwiseConv2dNative": "DepthwiseConv2dNative"}
"""What TensorFlow.js calls a convolution with what follows it."""

_OF_CONVOLUTIONS = ("T", "strides", "padding", "data_format", "dilations", "explicit_paddings")


def _apart(node: Any) -> list[Any]:
    """The convolution, the addition of its bias and its activation. The last one has the node's name."""
    from tensorflow.core.framework import node_def_pb2

    ops = [each.decode() for each in node.attr["fused_ops"].list.s]
    if ops[:1] != ["BiasAdd"] or len(ops) > 2:
        raise ValueError(
            f"{node.name} fuses {', '.join(ops) or 'nothing'}: only a bias and an activation are read"
        )
    wanted = _OF_CONVOLUTIONS[: 5 if node.op == "FusedDepthwiseConv2dNative" else None]
    convolution = node_def_pb2.NodeDef(
        name=f"{node.name}/convolution", op=_FUSED[node.op], input=[node.input[0], node.input[1]]
    )
    for name in wanted:
        if name in node.attr:
            convolution.attr[name].CopyFrom(node.attr[name])
    made = [convolution]
    for op, extra in zip(ops, ([node.input[2]], []), strict=False):
        following = node_def_pb2.NodeDef(name=f"{node.name}/{op}", op=op, input=[made[-1].name, *extra])
        following.attr["T"].CopyFrom(node.attr["T"])
        if op == "BiasAdd" and "data_format" in node.attr:
            following.attr["data_format"].CopyFrom(node.attr["data_format"])
        made.append(following)
    made[-1].name = node.name
    return made


def layers_model(path: Path, files: Mapping[str, Path], input_shape: tuple[int, ...]) -> Any:
    """A layers model of `_LAYERS` as a Keras model. Imports Keras.

    Args:
        input_shape: of one sample: a model may leave height and width free.

    Raises:
        ValueError: it has a layer of another kind, or several inputs or outputs.
    """
    import keras

    model = json.loads(path.read_text(encoding="utf-8"))
    config = model["modelTopology"]["model_config"]["config"]
    if len(config["input_layers"]) != 1 or len(config["output_layers"]) != 1:
        raise ValueError(f"{path.name} has several inputs or outputs")
    made: dict[str, Any] = {}
    for layer in config["layers"]:
        name, kind = layer["name"], layer["class_name"]
        if kind == "InputLayer":
            made[name] = keras.Input(input_shape, name=name)
            continue
        if kind not in _LAYERS:
            raise ValueError(f"layer {name!r} is a {kind}: only {', '.join(_LAYERS)} are read")
        arguments = {key: layer["config"][key] for key in _LAYERS[kind]}
        given = [made[inbound[0]] for inbound in layer["inbound_nodes"][0]]
        built = getattr(keras.layers, kind)(name=name, **arguments)
        made[name] = built(given if len(given) > 1 else given[0])
    (source, *_), (target, *_) = config["input_layers"][0], config["output_layers"][0]
    whole = keras.Model(made[source], made[target])
    values = weights(model, files)
    for layer in whole.layers:
        layer.set_weights([values[f"{layer.name}/{each.name}"] for each in layer.weights])
    return whole


_LAYERS = {
    "Conv2D": ("filters", "kernel_size", "strides", "padding", "activation", "use_bias"),
    "Activation": ("activation",),
    "Concatenate": ("axis",),
    "Add": (),
    "UpSampling2D": ("size", "interpolation"),
}
"""Kinds that are read, with their arguments."""
