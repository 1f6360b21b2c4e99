"""torch programs as `torch.export.save` writes them, .pt2, loaded so that no code of the file's own runs."""

from __future__ import annotations

import io
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import program_contents, torch_module
from edgemeter_converters.models.model import LoadedModel
from edgemeter_protos.v1 import refusal_pb2, variant_pb2

MAX_BYTES = 2 << 30
"""Of a file: no format of what is made from it holds more."""

MAX_PROGRAM_BYTES = 256 << 20
"""Of the graph, without weights."""

_PROGRAM = "models/model.json"

_PICKLES = ("data/sample_inputs/model.pt", "data/weights/model.pt", "data/constants/model.pt")
"""Records that torch unpickles: in the restricted way first, and in the unrestricted one where that fails."""

_PAYLOADS = ("data/weights/model_weights_config.json", "data/constants/model_constants_config.json")

_EXPECTED = (
    "models/",
    "data/weights/",
    "data/constants/",
    "data/sample_inputs/",
    "extra/",
    "archive_format",
    "archive_version",
    "byteorder",
    ".data/",
    ".format_version",
    ".storage_alignment",
    "version",
)


def load(path: Path, file_name: str) -> LoadedModel:
    """The program in a file. Imports torch: for conversion workers only.

    Args:
        path: where it is, under any name.
        file_name: what its user calls it; errors name it.

    Raises:
        ConversionError: NOT_A_MODEL, UNSAFE_MODEL or TOO_LARGE.
    """
    size_bytes = path.stat().st_size if path.is_file() else 0
    if size_bytes >= MAX_BYTES:
        raise ConversionError(
            f"{file_name}: it has {size_bytes:,} bytes, less than {MAX_BYTES:,} are read",
            reason=refusal_pb2.REFUSAL_REASON_TOO_LARGE,
        )
    check(path, file_name)

    import torch

    with tempfile.TemporaryDirectory(prefix="edgemeter-model-") as folder:
        # torch goes by the name; a blob has none.
        named = Path(folder) / "model.pt2"
        try:
            named.symlink_to(path.resolve())
        except OSError:
            shutil.copyfile(path, named)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                program = torch.export.load(named)
        except (MemoryError, ImportError):
            raise
        except Exception as error:
            # The deserializer raises whatever its assertions and torch's ops happen to raise.
            _refuse(file_name, f"torch can't load it: {torch_module.reason_of(error)}")
    # Python source from the file, which torch would run before each call.
    program._guards_code = []
    return LoadedModel(
        framework="exported_program",
        network=program,
        signature=signature_of(program, file_name),
        parameters=sum(each.numel() for each in torch_module.weights(program)),
    )


def predict(program: Any, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
    """The program's own outputs, float64, batch first: one array an output."""
    return torch_module.predict(callable_module(program), inputs)


def callable_module(program: Any) -> Any:
    """A module that takes the program's tensors one by one and gives what the program gives.

    A free batch that was exported from a sample of two or more may forbid one of 1, for the sake of
    broadcasting; what the graph computes for a batch of 1 is the same, so its guards are left out.
    """
    import torch
    from torch.utils import _pytree as pytree

    module = program.module(check_guards=False)
    for part in module.modules():
        # It refuses to be told by eval(); freezing looks here.
        part.training = False
    in_spec = program.call_spec.in_spec

    class Flat(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.program = module
            self.training = False

        def forward(self, *inputs: Any) -> Any:
            positional, named = pytree.tree_unflatten(list(inputs), in_spec)
            return self.program(*positional, **named)

        def train(self, _mode: bool = True) -> Flat:
            """The program has its mode built in, and refuses to be told another."""
            return self

    return Flat()


def check(path: Path, file_name: str) -> None:
    """Nothing, where loading the archive unpickles nothing but tensors and runs nothing of its own.

    Reads with torch's own reader, which is the one that will load it.

    Raises:
        ConversionError: UNSAFE_MODEL or NOT_A_MODEL.
    """
    import torch

    try:
        reader = torch._C.PyTorchFileReader(str(path))
        names = reader.get_all_records()
    except (RuntimeError, OSError):
        _refuse(file_name, "it is no exported program; write one by torch.export.save(program, 'name.pt2')")
    if "serialized_exported_program.json" in names:
        _refuse(file_name, "torch 2.7 or older wrote it: load it there, and export and save it by torch 2.9+")
    strange = [name for name in names if not name.startswith(_EXPECTED)]
    if any(name.startswith(("data/aotinductor", "data/executorch")) for name in strange):
        _refuse_unsafe(file_name, "it holds machine code: save the exported program instead")
    if _PROGRAM not in names or [name for name in names if name.startswith("models/")] != [_PROGRAM]:
        _refuse(file_name, "it holds no exported program; write one by torch.export.save")
    if strange:
        _refuse(file_name, f"it holds {strange[0][:80]!r}, which is no part of an exported program")
    text = reader.get_record(_PROGRAM)
    if len(text) > MAX_PROGRAM_BYTES:
        _refuse(file_name, f"its graph takes more than {MAX_PROGRAM_BYTES:,} bytes")
    program_contents.check(text, file_name)
    for name in _PAYLOADS:
        if name in names:
            program_contents.check_payloads(reader.get_record(name), file_name)
    for name in _PICKLES:
        if name in names:
            _check_pickle(reader.get_record(name), name, file_name)


def _check_pickle(content: bytes, name: str, file_name: str) -> None:
    import torch

    if not content:
        return
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        # The restricted unpickler raises its own error for a class, and any other for a broken record.
        _refuse_unsafe(
            file_name,
            f"{name} holds more than tensors, and unpickling it could run code:"
            f" {torch_module.reason_of(error)}",
        )


def signature_of(program: Any, file_name: str) -> variant_pb2.Signature:
    """Its inputs and outputs, -1 where a dimension is free.

    Raises:
        ConversionError: NOT_A_MODEL, they are something else than tensors.
    """
    import torch

    nodes = {node.name: node for node in program.graph.nodes}
    inputs = [nodes.get(name) for name in program.graph_signature.user_inputs if isinstance(name, str)]
    outputs = [nodes.get(name) for name in program.graph_signature.user_outputs if isinstance(name, str)]
    values = [None if node is None else node.meta.get("val") for node in (*inputs, *outputs)]
    tensors = all(isinstance(value, torch.Tensor) and value.ndim for value in values)
    leaves = program.call_spec.in_spec.num_leaves
    if not inputs or not outputs or not tensors or leaves != len(inputs):
        _refuse(file_name, "its inputs or outputs are something else than tensors with a batch dimension")
    placeholder = torch.utils._pytree.tree_unflatten(
        list(range(program.call_spec.out_spec.num_leaves)), program.call_spec.out_spec
    )
    names = torch_module.output_names(placeholder)
    if len(names) != len(outputs):
        names = [f"output_{at}" for at in range(len(outputs))]
    return variant_pb2.Signature(
        inputs=[_spec(node.name, node.meta["val"]) for node in inputs if node is not None],
        outputs=[
            _spec(name, node.meta["val"])
            for name, node in zip(names, outputs, strict=True)
            if node is not None
        ],
    )


def _spec(name: str, value: Any) -> variant_pb2.TensorSpec:
    return variant_pb2.TensorSpec(
        name=name,
        dtype=str(value.dtype).removeprefix("torch."),
        shape=[size if isinstance(size, int) else -1 for size in value.shape],
    )


def _refuse(file_name: str, what: str) -> NoReturn:
    raise ConversionError(f"{file_name}: {what}", reason=refusal_pb2.REFUSAL_REASON_NOT_A_MODEL)


def _refuse_unsafe(file_name: str, what: str) -> NoReturn:
    raise ConversionError(f"{file_name}: {what}", reason=refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL)
