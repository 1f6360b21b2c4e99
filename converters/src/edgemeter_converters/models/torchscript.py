"""TorchScript files, .pt or .ts, as torch.jit.save writes them.

A TorchScript holds code in a language of its own, whose ops reach tensors alone, but for a few that read or
write files; and torch runs some of that code while it loads a file. So the code is looked at before.
"""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import torch_module
from edgemeter_converters.models.model import LoadedModel
from edgemeter_protos.v1 import refusal_pb2, variant_pb2

MAX_BYTES = 2 << 30

_FILE_OPS = re.compile(r"\b(?:torch|ops\.aten)\.(from_file|save|load)\s*\(|\^\s*(\w+)\s*\(")
"""`^Name(…)` calls a Python function that was registered in the process which saved the file."""

_OPS = re.compile(r"\bops\.(\w+)\.(\w+)")
_OP_NAMESPACES = frozenset({"aten", "prim", "quantized", "torchvision", "mkldnn", "_caffe2"})

_CLASSES = re.compile(r"__torch__\.torch\.classes\.(\w+)\.(\w+)")
_CLASS_NAMESPACES = frozenset({"quantized", "rnn", "xnnpack", "mkldnn", "sparse"})
"""Of torch's own weights, packed for their kernels."""


def load(path: Path, file_name: str, inputs: Sequence[variant_pb2.TensorSpec]) -> LoadedModel:
    """The network in a file. Imports torch: for conversion workers only.

    Args:
        path: where it is, under any name.
        file_name: what its user calls it; errors name it.
        inputs: batch first: a TorchScript tells nothing of them.

    Raises:
        ConversionError: NOT_A_MODEL, UNSAFE_MODEL or TOO_LARGE.
    """
    check(path, file_name)
    if not inputs:
        _refuse(file_name, "a TorchScript tells nothing of its inputs: give --input float32[3,32,32]")

    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            script = torch.jit.load(str(path), map_location="cpu").eval()
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        # The compiler and the unpickler raise whatever they happen to raise.
        _refuse(file_name, f"torch can't load it: {torch_module.reason_of(error)}")
    return torch_module.loaded(script, file_name, inputs=inputs, framework="torchscript")


predict = torch_module.predict


def check(path: Path, file_name: str) -> None:
    """Nothing, where it is a TorchScript whose code does no more than compute with tensors.

    Raises:
        ConversionError: NOT_A_MODEL, UNSAFE_MODEL or TOO_LARGE.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            size_bytes = sum(info.file_size for info in infos)
            if size_bytes >= MAX_BYTES:
                raise ConversionError(
                    f"{file_name}: it has {size_bytes:,} bytes, less than {MAX_BYTES:,} are read",
                    reason=refusal_pb2.REFUSAL_REASON_TOO_LARGE,
                )
            # The root folder goes by the name that the file had when it was saved.
            names = [info.filename.partition("/")[2] for info in infos]
            if "constants.pkl" not in names or not any(name.startswith("code/") for name in names):
                _refuse_pickle(names, archive, file_name)
            texts = [
                archive.read(info).decode("utf-8", errors="replace")
                for info in infos
                if "/code/" in info.filename and info.filename.endswith(".py")
            ]
            pickles = [archive.read(info) for info in infos if info.filename.endswith("data.pkl")]
    except FileNotFoundError:
        _refuse(file_name, "there is no such file")
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError):
        with path.open("rb") as file:
            # A pickle of protocol 2 and newer begins so; torch.save wrote such files before 1.6.
            if file.read(1) == b"\x80":
                _refuse_unsafe(file_name)
        _refuse(file_name, "it is no TorchScript: save torch.jit.script(module) or torch.jit.trace(…)")
    for text in (*texts, *(each.decode("latin-1") for each in pickles)):
        check_code(text, file_name)


def check_code(text: str, file_name: str) -> None:
    """Nothing, where TorchScript code uses torch's own ops and classes, and none that touches files. Pure.

    Raises:
        ConversionError: UNSAFE_MODEL, naming the op.
    """
    touching = _FILE_OPS.search(text)
    if touching:
        op = touching[1] or touching[2]
        what = "reads or writes files" if touching[1] else "calls Python code"
        raise ConversionError(
            f"{file_name}: its op {op} {what}: save a network that computes with tensors only",
            reason=refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL,
        )
    for pattern, known in ((_OPS, _OP_NAMESPACES), (_CLASSES, _CLASS_NAMESPACES)):
        for match in pattern.finditer(text):
            if match[1] not in known:
                raise ConversionError(
                    f"{file_name}: it uses {match[1]}.{match[2]}, which is none of torch's own",
                    reason=refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL,
                )


def _refuse_pickle(names: Sequence[str], archive: zipfile.ZipFile, file_name: str) -> NoReturn:
    if "data.pkl" not in names:
        _refuse(file_name, "it is no TorchScript: save torch.jit.script(module) or torch.jit.trace(…)")
    pickled = next(info for info in archive.infolist() if info.filename.endswith("data.pkl"))
    # Names of classes stand in a pickle as they are: one of tensors alone names none but torch's.
    if b"torch.nn.modules" not in archive.read(pickled) and b"_rebuild_tensor" in archive.read(pickled):
        _refuse(
            file_name, "it holds weights without a network: save torch.jit.script(module) or torch.export"
        )
    _refuse_unsafe(file_name)


def _refuse_unsafe(file_name: str) -> NoReturn:
    raise ConversionError(
        f"{file_name}: it is a pickled module, and unpickling runs code that the file brings along: save"
        " torch.jit.script(module), torch.jit.trace(…) or torch.export.export(…)",
        reason=refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL,
    )


def _refuse(file_name: str, what: str) -> NoReturn:
    raise ConversionError(f"{file_name}: {what}", reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL)
