"""Whether data can be put into a model. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import refusal_pb2, variant_pb2


def check_fits(
    signature: variant_pb2.Signature, dataset_inputs: Sequence[variant_pb2.TensorSpec], classes: int = 0
) -> None:
    """Nothing, where a model of that signature takes the data and has an output for each of its classes.

    Integers fit a float input: they are cast. Floats do not fit an integer input.

    Args:
        signature: the original model's: batch first, -1 where a dimension is free.
        dataset_inputs: of one sample, without a batch dimension.
        classes: one more than the highest label; 0 where there are none.

    Raises:
        ConversionError: SHAPE_MISMATCH; both shapes are named.
    """
    if len(dataset_inputs) != len(signature.inputs):
        _refuse(
            f"the data has {len(dataset_inputs)} input a sample, the model takes {len(signature.inputs)} "
            f"({', '.join(spec.name for spec in signature.inputs)})"
        )
    for data, model in zip(dataset_inputs, signature.inputs, strict=True):
        _check_input(tuple(data.shape), np.dtype(data.dtype), tuple(model.shape[1:]), np.dtype(model.dtype))
    if classes and len(signature.outputs) == 1 and len(signature.outputs[0].shape) == 2:
        model_classes = signature.outputs[0].shape[1]
        if 1 < model_classes < classes:
            _refuse(
                f"the data's labels go up to {classes - 1}, the model tells {model_classes} classes apart"
            )


def _check_input(
    data: tuple[int, ...], data_dtype: np.dtype, model: tuple[int, ...], model_dtype: np.dtype
) -> None:
    fits = len(data) == len(model) and all(
        theirs in (-1, ours) for ours, theirs in zip(data, model, strict=True)
    )
    if not fits:
        _refuse(f"the data has shape {data} a sample, the model takes {_shown(model)}{_hint(data, model)}")
    if data_dtype.kind == "f" and model_dtype.kind != "f":
        _refuse(f"the data is {data_dtype}, the model takes {model_dtype}: save the data as whole numbers")


def _hint(data: tuple[int, ...], model: tuple[int, ...]) -> str:
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


def _refuse(message: str) -> None:
    raise ConversionError(message, reason=refusal_pb2.REFUSAL_REASON_SHAPE_MISMATCH)
