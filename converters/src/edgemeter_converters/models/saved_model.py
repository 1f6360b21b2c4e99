"""TensorFlow SavedModels, packed as a .zip, whose graph is looked at before TensorFlow loads it."""

from __future__ import annotations

import re
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import saved_model_files, saved_model_ops, tflite_anatomy
from edgemeter_converters.models.model import Anatomy, LoadedModel
from edgemeter_converters.models.saved_model_ops import Node
from edgemeter_protos.v1 import refusal_pb2, variant_pb2

SIGNATURE = "serving_default"


def load(path: Path, file_name: str) -> LoadedModel:
    """The model in a .zip with `saved_model.pb` at its top, or one folder down.

    Its inputs and outputs are those of its signature `serving_default`, in the order of their names: a
    SavedModel knows no other. It is unpacked into a folder that lives as long as the model.

    Raises:
        ConversionError: NOT_A_MODEL, UNSAFE_MODEL naming an op that touches the machine, or TOO_LARGE.
    """
    folder = Path(tempfile.mkdtemp(prefix="edgemeter-saved-model-"))
    try:
        saved_model_files.unpack(path, file_name, folder)
        _check(folder, file_name)
        model = _loaded(folder, file_name)
    except BaseException:
        shutil.rmtree(folder)
        raise
    weakref.finalize(model, shutil.rmtree, folder, ignore_errors=True)
    return model


def folder_of(model: LoadedModel) -> Path:
    """The unpacked folder of a model that `load` gave."""
    if not isinstance(model.network, Path):
        raise TypeError(f"a {model.framework} model is no saved_model model")
    return model.network


def predict(network: Path, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """The signature's own outputs, float64, batch first; one by one where its batch is fixed to 1."""
    import tensorflow as tf

    # Held while its functions are used: they only borrow its variables.
    loaded = tf.saved_model.load(str(network))
    serve = loaded.signatures[SIGNATURE]
    specs = serve.structured_input_signature[1]
    names, outputs = _in_order(specs), _in_order(serve.structured_outputs)
    single = any(specs[name].shape.rank and specs[name].shape[0] == 1 for name in names)
    step = 1 if single else max(len(inputs[0]), 1)
    parts = []
    for first in range(0, len(inputs[0]), step):
        given = serve(
            **{
                name: tf.constant(each[first : first + step], dtype=specs[name].dtype)
                for name, each in zip(names, inputs, strict=True)
            }
        )
        parts.append([np.asarray(given[name], dtype=np.float64) for name in outputs])
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def export(model: LoadedModel, input_shapes: tuple[tuple[int, ...], ...], folder: Path) -> None:
    """The model as another SavedModel, for a batch of 1: `input_0`, … to `output_0`, ….

    Args:
        input_shapes: of one sample of each input.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder_of(model)))
    serve = loaded.signatures[SIGNATURE]
    specs = serve.structured_input_signature[1]
    names, outputs = _in_order(specs), _in_order(serve.structured_outputs)

    def call(*inputs: Any) -> dict[str, Any]:
        given = serve(**dict(zip(names, inputs, strict=True)))
        return {f"output_{at}": given[name] for at, name in enumerate(outputs)}

    module = tf.Module()
    module.loaded = loaded
    module.serve = tf.function(
        call,
        input_signature=[
            tf.TensorSpec((1, *shape), specs[name].dtype, name=f"input_{at}")
            for at, (shape, name) in enumerate(zip(input_shapes, names, strict=True))
        ],
    )
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: module.serve})


def anatomy(network: Path, signature: variant_pb2.Signature) -> Anatomy:
    """By way of a float32 .tflite: layers are its ops, and what its converter folds away is not counted.

    Nothing is counted where a dimension beside the batch is free, or where it can't be converted.
    """
    if any(-1 in spec.shape[1:] for spec in signature.inputs):
        return Anatomy(macs=0, layers=(), non_zero_parameters=0)
    # Formats build upon models, so not above.
    from edgemeter_converters.formats import tflite_tensorflow
    from edgemeter_converters.formats.format import Encoding
    from edgemeter_converters.steps import Precision

    model = LoadedModel(framework="saved_model", network=network, signature=signature, parameters=0)
    with tempfile.TemporaryDirectory(prefix="edgemeter-anatomy-") as work_dir:
        encoding = Encoding(
            precision=Precision.FLOAT32,
            input_shapes=tuple(tuple(spec.shape[1:]) for spec in signature.inputs),
            calibration=(),
            work_dir=Path(work_dir),
        )
        try:
            content = tflite_tensorflow.convert(model, encoding)
        except ConversionError:
            # Not this model's end: other formats may take it, and its own conversion will say why not.
            return Anatomy(macs=0, layers=(), non_zero_parameters=0)
    return tflite_anatomy.anatomy(content, signature)


def _loaded(folder: Path, file_name: str) -> LoadedModel:
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(str(folder))
        serve = loaded.signatures[SIGNATURE]
        specs, given = serve.structured_input_signature[1], serve.structured_outputs
        signature = variant_pb2.Signature(
            inputs=[_spec(name, specs[name]) for name in _in_order(specs)],
            outputs=[_spec(name, given[name]) for name in _in_order(given)],
        )
        parameters = sum(int(np.prod(each.shape.as_list())) for each in serve.variables)
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        # TensorFlow raises whatever a broken graph or checkpoint happens to lead to.
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        _refuse(file_name, f"TensorFlow can't load it: {lines[0][:300]}")
    return LoadedModel(framework="saved_model", network=folder, signature=signature, parameters=parameters)


def _spec(name: str, tensor: Any) -> variant_pb2.TensorSpec:
    if tensor.shape.rank is None or tensor.shape.rank == 0:
        raise ValueError(f"{name} has no shape with a batch dimension")
    return variant_pb2.TensorSpec(
        name=name,
        dtype=tensor.dtype.as_numpy_dtype().dtype.name,
        shape=[-1 if size is None else int(size) for size in tensor.shape],
    )


def _in_order(names: Any) -> list[str]:
    """By name, numbers by their value: output_2 before output_10."""
    return sorted(
        names,
        key=lambda name: [
            (part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)
        ],
    )


def _check(folder: Path, file_name: str) -> None:
    """Nothing, where nothing in the graph touches the machine, neither when it is loaded nor when it runs."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel()
    try:
        saved.ParseFromString((folder / saved_model_files.GRAPH).read_bytes())
    except DecodeError:
        _refuse(file_name, f"its {saved_model_files.GRAPH} is broken")
    if len(saved.meta_graphs) != 1:
        _refuse(file_name, "it has several graphs: save it with tf.saved_model.save or model.export")
    graph = saved.meta_graphs[0]
    if not graph.object_graph_def.nodes:
        _refuse(file_name, "TensorFlow 1 saved it: load it and save it again with tf.saved_model.save")
    if SIGNATURE not in graph.signature_def:
        _refuse(file_name, f"it has no signature {SIGNATURE!r}: save it with model.export")
    for node in graph.object_graph_def.nodes:
        kind = node.WhichOneof("kind")
        if kind in ("asset", "resource"):
            _refuse_unsafe(
                file_name, f"it brings a {kind} (a table or a file), which runs ops when it is loaded"
            )
    found = saved_model_ops.offence(
        _nodes(graph.graph_def.node),
        {each.signature.name: _nodes(each.node_def) for each in graph.graph_def.library.function},
        _roots(graph),
        _is_stateful,
    )
    if found is not None:
        _refuse_unsafe(
            file_name,
            f"op {found.op} (node {found.node!r}) is not one of those that only compute; "
            "edgemeter runs no graph that may touch the machine: export the model without it",
        )


def _roots(graph: Any) -> list[str]:
    """Nodes that serving or loading runs."""
    outputs = [info.name for each in graph.signature_def.values() for info in each.outputs.values()]
    mains = [
        name
        for key in ("saved_model_main_op", "legacy_init_op", "saved_model_train_op")
        if key in graph.collection_def
        for name in graph.collection_def[key].node_list.value
    ]
    return [_node_name(name) for name in (*outputs, *mains)]


def _nodes(definitions: Any) -> list[Node]:
    return [
        Node(
            name=each.name,
            op=each.op,
            inputs=tuple(_node_name(name) for name in each.input),
            functions=tuple(
                function.name
                for value in each.attr.values()
                for function in (value.func, *value.list.func)
                if function.name
            ),
        )
        for each in definitions
    ]


def _node_name(tensor_name: str) -> str:
    return tensor_name.removeprefix("^").partition(":")[0]


def _is_stateful(op: str) -> bool | None:
    from tensorflow.python.framework import op_def_registry

    definition = op_def_registry.get(op)
    return None if definition is None else bool(definition.is_stateful)


def _refuse(file_name: str, what: str) -> NoReturn:
    raise ConversionError(f"{file_name}: {what}", reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL)


def _refuse_unsafe(file_name: str, what: str) -> NoReturn:
    raise ConversionError(f"{file_name}: {what}", reason=refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL)
