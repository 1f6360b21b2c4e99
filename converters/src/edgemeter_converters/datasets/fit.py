"""Whether data can be put into a model. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.preprocessing import output_dtype, output_shape, text
from edgemeter_protos.v1 import refusal_pb2, variant_pb2


def check_fits(
    signature: variant_pb2.Signature,
    dataset_inputs: Sequence[variant_pb2.TensorSpec],
    classes: int = 0,
    preprocessing: Sequence[variant_pb2.Preprocessing] = (),
) -> None:
    """Nothing, where a model of that signature takes the data and has an output for each of its classes.

    Integers fit a float input: they are cast. Floats do not fit an integer input.

    Args:
        signature: the original model's: batch first, -1 where a dimension is free.
        dataset_inputs: of one sample, without a batch dimension.
        classes: one more than the highest label; 0 where there are none.
        preprocessing: what is done to each input first; none leaves them as they are.

    Raises:
        ConversionError: SHAPE_MISMATCH; both shapes are named.
    """
    if len(dataset_inputs) != len(signature.inputs):
        _refuse(
            f"the data has {len(dataset_inputs)} input{'s' if len(dataset_inputs) > 1 else ''} a sample, "
            f"the model takes {len(signature.inputs)} ({', '.join(spec.name for spec in signature.inputs)})"
        )
    if preprocessing and len(preprocessing) != len(signature.inputs):
        _refuse(
            f"there is preprocessing for {len(preprocessing)} inputs, the model takes {len(signature.inputs)}"
        )
    steps = preprocessing or [variant_pb2.Preprocessing()] * len(signature.inputs)
    for data, model, step in zip(dataset_inputs, signature.inputs, steps, strict=True):
        _check_input(data, model, step)
    if classes and len(signature.outputs) == 1 and len(signature.outputs[0].shape) == 2:
        model_classes = signature.outputs[0].shape[1]
        if 1 < model_classes < classes:
            _refuse(
                f"the data's labels go up to {classes - 1}, the model tells {model_classes} classes apart"
            )


def _check_input(
    data: variant_pb2.TensorSpec, model: variant_pb2.TensorSpec, step: variant_pb2.Preprocessing
) -> None:
    raw, wanted = tuple(data.shape), tuple(model.shape[1:])
    try:
        shape = output_shape(step, raw)
    except ValueError as error:
        _refuse(f"the model's preprocessing does not fit the data: {error}")
    if not _fits(shape, wanted):
        what = text(step)
        made = f", {shape} after preprocessing ({what})" if what else ""
        hint = _hint(raw, wanted, step)
        _refuse(f"the data has shape {raw} a sample{made}, the model takes {_shown(wanted)}{hint}")
    dtype, model_dtype = np.dtype(output_dtype(step, data.dtype)), np.dtype(model.dtype)
    if dtype.kind == "f" and model_dtype.kind != "f":
        what = (
            "save the data as whole numbers" if dtype == np.dtype(data.dtype) else "leave out its arithmetic"
        )
        made = "" if dtype == np.dtype(data.dtype) else " after preprocessing"
        _refuse(f"the data is {dtype}{made}, the model takes {model_dtype}: {what}")


def _fits(data: tuple[int, ...], model: tuple[int, ...]) -> bool:
    return len(data) == len(model) and all(
        theirs in (-1, ours) for ours, theirs in zip(data, model, strict=True)
    )


def _hint(data: tuple[int, ...], model: tuple[int, ...], step: variant_pb2.Preprocessing) -> str:
    if step.channels_first:
        return ": leave layout=nchw out of its preprocessing" if _fits(data, model) else ""
    if len(data) > 1 and _fits((data[-1], *data[:-1]), model):
        return ": add the model with --preprocess layout=nchw, which puts the channels first"
    if model == (*data, 1):
        return ": add the last dimension with x[..., None]"
    if data == (*model, 1):
        return ": drop the last dimension with x[..., 0]"
    known = -1 not in model
    if known and sorted(data) == sorted(model) and len(data) == 3:
        return ": the dimensions seem to be in another order"
    if known and int(np.prod(data)) == int(np.prod(model)):
        shape = ", ".join(map(str, model))
        return f": as many numbers, so x.reshape(-1, {shape}) may be what is meant"
    return ""


def _shown(shape: tuple[int, ...]) -> str:
    inner = ", ".join("any" if size == -1 else str(size) for size in shape)
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def _refuse(message: str) -> NoReturn:
    raise ConversionError(message, reason=refusal_pb2.REFUSAL_REASON_SHAPE_MISMATCH)
