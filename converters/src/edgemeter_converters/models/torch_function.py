"""torch modules that a function of the user's own package returns: "package.module:function".

A module that steps can train is code as well as weights, and code is run only where the operator of the
coordinator allowed its package. What a variant is built from is nevertheless a file that does not change: a
.torchmodule, a zip of

    function.json   {"function": "package.module:function", "inputs": [{"dtype", "shape", "name"}, …]}
    weights.pt      the state_dict, as torch.save writes it

whose weights go into what the function returns later on, or the build fails.
"""

from __future__ import annotations

import importlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import torch_module
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.trust import check_allowed, is_function
from edgemeter_protos.v1 import refusal_pb2, variant_pb2

MAX_BYTES = 2 << 30

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""Of every file in the zip, so that equal weights are equal bytes."""


def call(function: str, allowed: Sequence[str]) -> tuple[Any, tuple[Any, ...] | None]:
    """The `torch.nn.Module` that the function returns, in evaluation mode, and its example inputs.

    The function takes no arguments, and returns a module, or a module and its example inputs: a tensor or a
    tuple of them, batch first. None stands for none.

    Raises:
        ConversionError: UNSAFE_MODEL, its package is not allowed; NOT_A_MODEL, it fails or returns something
            else.
    """
    if not is_function(function):
        _refuse(f"{function[:100]!r} is no function's name: write package.module:function")
    check_allowed(function, allowed)
    import torch

    module_name, _, name = function.partition(":")
    try:
        returned = getattr(importlib.import_module(module_name), name)()
    except MemoryError:
        raise
    except Exception as error:
        # The user's code raises whatever it likes.
        _refuse(f"{function}: it failed with {type(error).__name__}: {torch_module.reason_of(error)}")
    module, inputs = returned if isinstance(returned, tuple) and len(returned) == 2 else (returned, None)
    if not isinstance(module, torch.nn.Module):
        _refuse(f"{function}: it returned a {type(module).__name__}, not a torch.nn.Module")
    if isinstance(inputs, torch.Tensor):
        inputs = (inputs,)
    if inputs is not None and not (
        isinstance(inputs, tuple | list) and all(isinstance(each, torch.Tensor) for each in inputs)
    ):
        _refuse(f"{function}: its example inputs are no tensor and no tuple of tensors")
    return module.eval(), None if inputs is None else tuple(inputs)


def specs_of(inputs: Sequence[Any]) -> tuple[variant_pb2.TensorSpec, ...]:
    """Of example inputs, batch first: the batch is free."""
    return tuple(
        variant_pb2.TensorSpec(
            name=f"input_{at}",
            dtype=str(each.dtype).removeprefix("torch."),
            shape=[-1, *each.shape[1:]],
        )
        for at, each in enumerate(inputs)
    )


def freeze(module: Any, function: str, inputs: Sequence[variant_pb2.TensorSpec]) -> bytes:
    """A .torchmodule: the same bytes for the same weights.

    Args:
        inputs: batch first; of `specs_of` example inputs, or as the user gave them.

    Raises:
        ConversionError: NOT_A_MODEL, there are no inputs, or the module's state is more than tensors;
            TOO_LARGE.
    """
    import torch

    if not inputs:
        _refuse(
            f"{function}: nothing tells the shapes of its inputs: give --input float32[3,32,32], or return"
            " (module, example_inputs)"
        )
    weights = {}
    for name, value in module.state_dict().items():
        if not isinstance(value, torch.Tensor):
            _refuse(f"{function}: the module's state {name!r} is a {type(value).__name__}, not a tensor")
        weights[name] = _compact(value.detach())
    size_bytes = sum(value.nbytes for value in weights.values())
    if size_bytes >= MAX_BYTES:
        _refuse_size(function, size_bytes)
    file = io.BytesIO()
    torch.save(weights, file)
    facts = {
        "function": function,
        "inputs": [{"name": spec.name, "dtype": spec.dtype, "shape": [*spec.shape[1:]]} for spec in inputs],
    }
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("function.json", _EPOCH), json.dumps(facts, sort_keys=True))
        archive.writestr(zipfile.ZipInfo("weights.pt", _EPOCH), file.getvalue())
    return target.getvalue()


def function_of(path: Path, file_name: str) -> str:
    """Which function a .torchmodule is of. Imports nothing, runs nothing."""
    function, _ = _facts(path, file_name)
    return function


def load(path: Path, file_name: str, allowed: Sequence[str]) -> LoadedModel:
    """The module that a .torchmodule's function returns now, with the weights that it had then.

    Raises:
        ConversionError: NOT_A_MODEL, UNSAFE_MODEL or TOO_LARGE.
    """
    function, inputs = _facts(path, file_name)
    module, _ = call(function, allowed)

    import torch

    with zipfile.ZipFile(path) as archive:
        content = archive.read("weights.pt")
    try:
        weights = torch.load(io.BytesIO(content), weights_only=True)
    except MemoryError:
        raise
    except Exception as error:
        # The restricted unpickler raises its own error for a class, and any other for a broken file.
        raise ConversionError(
            f"{file_name}: its weights hold more than tensors: {torch_module.reason_of(error)}",
            reason=refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL,
        ) from error
    try:
        module.load_state_dict(weights, strict=True)
    except (RuntimeError, TypeError, AttributeError) as error:
        said = " ".join(str(error).split())
        _refuse(
            f"{file_name}: {function} now returns another architecture: {said[:200]}; add the model again"
        )
    return torch_module.loaded(module, file_name, inputs=inputs)


def _facts(path: Path, file_name: str) -> tuple[str, list[variant_pb2.TensorSpec]]:
    try:
        with zipfile.ZipFile(path) as archive:
            size_bytes = sum(info.file_size for info in archive.infolist())
            if size_bytes >= MAX_BYTES:
                _refuse_size(file_name, size_bytes)
            archive.getinfo("weights.pt")
            facts = json.loads(archive.read("function.json"))
        function = facts["function"]
        inputs = [
            variant_pb2.TensorSpec(
                name=str(each["name"]),
                dtype=np.dtype(each["dtype"]).name,
                shape=[-1, *(int(size) for size in each["shape"])],
            )
            for each in facts["inputs"]
        ]
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError, EOFError, NotImplementedError):
        _refuse(f"{file_name}: it is no .torchmodule")
    if not isinstance(function, str) or not inputs:
        _refuse(f"{file_name}: it is no .torchmodule")
    return function, inputs


def _compact(tensor: Any) -> Any:
    """The tensor itself, so that tied weights stay tied; a copy where it is a view of something larger."""
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _refuse(what: str) -> NoReturn:
    raise ConversionError(what, reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL)


def _refuse_size(name: str, size_bytes: int) -> NoReturn:
    raise ConversionError(
        f"{name}: its weights have {size_bytes:,} bytes, less than {MAX_BYTES:,} are read",
        reason=refusal_pb2.REFUSAL_REASON_TOO_LARGE,
    )
