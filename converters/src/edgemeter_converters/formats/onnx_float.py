"""The float graph that every ONNX encoding starts from: batch 1, shapes fixed, simplified, layers named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats.onnx_graph import (
    free_fusions_names,
    name_layers,
    name_values,
    opset_of,
    tidy,
)
from edgemeter_converters.models import bridge
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.models.onnx import name_nodes, reason_of
from edgemeter_converters.models.onnx_weights import is_float

OPSET = 18
"""Of what is exported here: the one that torch's exporter is written in, so that nothing is converted; it has
per-channel quantization (13), and ONNX Runtime reads it since 1.14."""

IR_VERSION = 8
"""Of what is exported here: the first that has opset 18. onnx 1.23 would write 13, and onnxruntime 1.23 reads
up to 11, 1.17 up to 9."""

MAX_OPSET, MAX_IR_VERSION = 23, 11
"""That onnxruntime 1.23 reads, the last for Python 3.10."""


def float_graph(model: LoadedModel, input_shapes: tuple[tuple[int, ...], ...], work_dir: Path) -> Any:
    """An `onnx.ModelProto` with the model's inputs and outputs in its signature's order.

    Raises:
        ConversionError: torch can't write the model as ONNX, or its operators are newer than boards have.
    """
    if model.framework == "onnx":
        proto = _with_batch_of_one(model, input_shapes)
    else:
        proto = _exported(model, input_shapes, work_dir)
    name_layers(proto.graph)
    proto = _simplified(proto, work_dir)
    if _add_instead_of_subtracting(proto.graph):
        proto = _simplified(proto, work_dir)
    tidy(proto)
    free_fusions_names(proto.graph)
    for node in proto.graph.node:
        node.name = node.name.removesuffix("/MatMulAddFusion")
    name_nodes(proto.graph)
    name_values(proto.graph)
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
