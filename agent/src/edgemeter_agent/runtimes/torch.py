"""torch itself: TorchScript (.pt) and exported programs (.pt2), on the processor."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from edgemeter_agent.runtimes.torch_tensors import dtype_name, prepared, real
from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array, LoadedModel, RealArray

SIGNATURE_FILE = "signature.json"
"""Beside a TorchScript's code, in `extra/`: what its converter knew of its inputs and outputs."""

ENGINES = ("fbgemm", "onednn", "qnnpack")
"""Kernels of integer TorchScripts, the first that this torch has; QNNPACK's ran a MobileNetV2 wrong."""


def loader(package: str) -> Callable[[str, int], LoadedModel]:
    """Raises ImportError."""
    # Read when torch is imported: its warnings are for who made the model.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    torch: Any = import_module(package)

    def load(artifact_path: str, threads: int) -> LoadedModel:
        torch.set_num_threads(threads)
        engines = torch.backends.quantized.supported_engines
        torch.backends.quantized.engine = next((name for name in ENGINES if name in engines), "none")
        with warnings.catch_warnings():
            # Deprecations are for who made the model.
            warnings.simplefilter("ignore")
            # One format's archive has a record that the other's has not.
            records = _records(torch, artifact_path)
            if "models/model.json" in records:
                return TorchModel(torch, *_program(torch, artifact_path))
            if "constants.pkl" in records:
                return TorchModel(torch, *_script(torch, artifact_path))
        raise ValueError("it is neither a TorchScript nor an exported program, or not the whole of one")

    return load


class TorchModel:
    """A callable of tensors. A query is the call, in inference mode, on the prepared tensors where they are;
    its output tensors are new each time, as any application's.

    A TorchScript from elsewhere tells nothing of its inputs: then its signature is empty, and inputs are
    taken as they come.
    """

    def __init__(self, torch: Any, call: Callable[..., Any], signature: variant_pb2.Signature) -> None:
        self._torch = torch
        self._call = call
        self.signature = signature
        self._prepared: list[Any] = []
        self._results: Any = ()

    def prepare(self, inputs: Sequence[Array]) -> None:
        if not self.signature.inputs and not inputs:
            raise ValueError("a TorchScript tells nothing of its inputs, and none were given")
        self._prepared = prepared(self._torch, inputs, self.signature.inputs)
        self._results = ()

    def query(self) -> None:
        # Here, not once for all: it belongs to a thread.
        with self._torch.inference_mode():
            self._results = self._call(*self._prepared)

    def outputs(self) -> list[RealArray]:
        return [real(self._torch, each) for each in _flat(self._results)]


def _records(torch: Any, path: str) -> list[str]:
    """Of torch's archive; none where it is no such archive, or half of one."""
    try:
        records: list[str] = torch._C.PyTorchFileReader(path).get_all_records()
    except RuntimeError:
        return []
    return records


def _script(torch: Any, path: str) -> tuple[Callable[..., Any], variant_pb2.Signature]:
    extra = {SIGNATURE_FILE: ""}
    script = torch.jit.load(path, _extra_files=extra)
    signature = variant_pb2.Signature()
    if extra[SIGNATURE_FILE]:
        json_format.Parse(extra[SIGNATURE_FILE], signature, ignore_unknown_fields=True)
    return script, signature


def _program(torch: Any, path: str) -> tuple[Callable[..., Any], variant_pb2.Signature]:
    """The load time of an exported program has torch's import of its reader in it: 76 MB and a second that a
    TorchScript is spared (torch 2.13), so they are no part of the runtime's import."""
    with Path(path).open("rb") as file:
        program = torch.export.load(file)
    names = (program.graph_signature.user_inputs, program.graph_signature.user_outputs)
    nodes = {node.name: node.meta.get("val") for node in program.graph.nodes}
    inputs, outputs = ([_spec(torch, name, nodes.get(name)) for name in side] for side in names)
    return _bare(torch, program), variant_pb2.Signature(inputs=inputs, outputs=outputs)


def _bare(torch: Any, program: Any) -> Callable[..., Any]:
    """The program's graph as a function of its tensors in a row.

    Without the checks of each input and the packing of structures that `ExportedProgram.module()` wraps it
    into: `prepare` has checked, and half a millisecond a call is more than a small network takes.
    """
    module = program.module(check_guards=False)
    module._forward_pre_hooks.clear()
    module.graph.set_codegen(torch.fx.graph.CodeGen())
    module.recompile()
    call: Callable[..., Any] = module.forward
    return call


def _spec(torch: Any, name: Any, value: Any) -> variant_pb2.TensorSpec:
    if not isinstance(value, torch.Tensor):
        raise ValueError(f"{name!r} is no tensor, which can't be measured")
    return variant_pb2.TensorSpec(
        name=name,
        dtype=dtype_name(value),
        shape=[size if isinstance(size, int) else -1 for size in value.shape],
    )


def _flat(results: Any) -> list[Any]:
    """Tensors in a module's outputs, in their structure's order."""
    if isinstance(results, dict):
        results = list(results.values())
    if isinstance(results, list | tuple):
        return [tensor for each in results for tensor in _flat(each)]
    return [] if results is None else [results]
