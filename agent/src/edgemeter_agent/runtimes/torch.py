"""torch itself: TorchScript (.pt) and exported programs (.pt2), on the processor or on CUDA."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from google.protobuf import json_format

from edgemeter_agent.runtimes.accelerators import unknown
from edgemeter_agent.runtimes.batch import batched, check_outputs
from edgemeter_agent.runtimes.torch_tensors import dtype_name, prepared, real
from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array, LoadedModel, LoadOptions, RealArray

ARENA = "torch.cuda.max_memory_allocated on CUDA; torch does not tell what it holds on the processor"

SIGNATURE_FILE = "signature.json"
"""Beside a TorchScript's code, in `extra/`: what its converter knew of its inputs and outputs."""

ENGINES = ("fbgemm", "onednn", "qnnpack")
"""Kernels of integer TorchScripts, the first that this torch has; QNNPACK's ran a MobileNetV2 wrong."""

Call = Callable[..., Any]


def loader(package: str) -> Callable[[str, LoadOptions], LoadedModel]:
    """Raises ImportError."""
    # Read when torch is imported: its warnings are for who made the model.
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    torch: Any = import_module(package)

    def load(artifact_path: str, options: LoadOptions) -> LoadedModel:
        device = chosen_device(torch, options.accelerator)
        torch.set_num_threads(options.threads)
        engines = torch.backends.quantized.supported_engines
        torch.backends.quantized.engine = next((name for name in ENGINES if name in engines), "none")
        with warnings.catch_warnings():
            # Deprecations are for who made the model.
            warnings.simplefilter("ignore")
            call, signature = _opened(torch, artifact_path, device, options.batch_size)
        made = CudaModel if device == "cuda" else TorchModel
        return made(torch, call, batched(signature, options.batch_size), options.batch_size)

    return load


def chosen_device(torch: Any, accelerator: str) -> str:
    """ "cpu" or "cuda". Raises ValueError, one line, for CUDA that is not here, and for any other name."""
    if accelerator not in ("", "cpu", "cuda"):
        raise unknown("torch", accelerator, ("cpu", "cuda"))
    if accelerator != "cuda":
        return "cpu"
    if torch.version.cuda is None:
        raise ValueError(f"'cuda' was asked for, and this torch ({torch.__version__}) was built without it")
    if not torch.cuda.is_available():
        raise ValueError(
            "'cuda' was asked for, and torch sees no CUDA device: see `nvidia-smi` or `tegrastats`"
        )
    return "cuda"


class TorchModel:
    """A callable of tensors. A query is the call, in inference mode, on the prepared tensors where they are;
    its output tensors are new each time, as any application's.

    A TorchScript from elsewhere tells nothing of its inputs: then its signature is empty, and inputs are
    taken as they come.
    """

    ran_on = "CPU"

    def __init__(self, torch: Any, call: Call, signature: variant_pb2.Signature, batch_size: int = 1) -> None:
        self._torch = torch
        self._call = call
        self._batch_size = batch_size
        self.signature = signature
        self._prepared: list[Any] = []
        self._results: Any = ()

    def arena_bytes(self) -> int | None:
        return None

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
        """Raises ValueError where an output has no row for each sample of the batch."""
        tensors = _flat(self._results)
        check_outputs([list(tensor.shape) for tensor in tensors], self._batch_size)
        return [real(self._torch, each) for each in tensors]


class CudaModel(TorchModel):
    """On CUDA's first device. A query copies the prepared tensors there and the outputs back, as an
    application does, and returns when the device is done."""

    def __init__(self, torch: Any, call: Call, signature: variant_pb2.Signature, batch_size: int = 1) -> None:
        super().__init__(torch, call, signature, batch_size)
        self.ran_on = f"CUDA ({torch.cuda.get_device_name(0)})"

    def arena_bytes(self) -> int | None:
        """The most that torch's allocator held on the device so far."""
        return int(self._torch.cuda.max_memory_allocated())

    def query(self) -> None:
        with self._torch.inference_mode():
            results = self._call(*[tensor.to("cuda") for tensor in self._prepared])
            self._results = [tensor.to("cpu") for tensor in _flat(results)]
        self._torch.cuda.synchronize()


def _opened(torch: Any, path: str, device: str, batch_size: int) -> tuple[Call, variant_pb2.Signature]:
    # One format's archive has a record that the other's has not.
    records = _records(torch, path)
    if "models/model.json" in records:
        return _program(torch, path, device, batch_size)
    if "constants.pkl" in records:
        return _script(torch, path, device)
    raise ValueError("it is neither a TorchScript nor an exported program, or not the whole of one")


def _records(torch: Any, path: str) -> list[str]:
    """Of torch's archive; none where it is no such archive, or half of one."""
    try:
        records: list[str] = torch._C.PyTorchFileReader(path).get_all_records()
    except RuntimeError:
        return []
    return records


def _script(torch: Any, path: str, device: str) -> tuple[Call, variant_pb2.Signature]:
    extra = {SIGNATURE_FILE: ""}
    script = torch.jit.load(path, map_location=device, _extra_files=extra)
    signature = variant_pb2.Signature()
    if extra[SIGNATURE_FILE]:
        json_format.Parse(extra[SIGNATURE_FILE], signature, ignore_unknown_fields=True)
    return script, signature


def _program(torch: Any, path: str, device: str, batch_size: int) -> tuple[Call, variant_pb2.Signature]:
    """The load time of an exported program has torch's import of its reader in it: 76 MB and a second that a
    TorchScript is spared (torch 2.13), so they are no part of the runtime's import."""
    with Path(path).open("rb") as file:
        program = torch.export.load(file)
    if device != "cpu":
        program = import_module("torch.export.passes").move_to_device_pass(program, device)
    names = (program.graph_signature.user_inputs, program.graph_signature.user_outputs)
    nodes = {node.name: node.meta.get("val") for node in program.graph.nodes}
    inputs, outputs = ([_spec(torch, name, nodes.get(name)) for name in side] for side in names)
    if batch_size > 1:
        for name in names[0]:
            check_exported(name, nodes[name].shape, batch_size, program.range_constraints)
    return _bare(torch, program), variant_pb2.Signature(inputs=inputs, outputs=outputs)


def check_exported(name: str, shape: Sequence[Any], batch_size: int, ranges: dict[Any, Any]) -> None:
    """Whether a program was exported for this batch: its sizes are numbers, or symbols with a range.

    Raises ValueError, one line. Its graph might run with another batch, and what its export took for granted
    would no longer hold.
    """
    size = shape[0] if len(shape) else None
    if isinstance(size, int) or size is None:
        if size != batch_size:
            raise ValueError(
                f"the program was exported with {name!r} of {list(shape)}, and a batch of {batch_size} was"
                " asked for: export it with a dynamic first dimension"
            )
        return
    bounds = ranges.get(size.node.expr)
    if bounds is not None and not bounds.lower <= batch_size <= bounds.upper:
        raise ValueError(
            f"the program was exported for batches of {bounds.lower} to {bounds.upper} of {name!r}, and"
            f" {batch_size} was asked for"
        )


def _bare(torch: Any, program: Any) -> Call:
    """The program's graph as a function of its tensors in a row.

    Without the checks of each input and the packing of structures that `ExportedProgram.module()` wraps it
    into: `prepare` has checked, and half a millisecond a call is more than a small network takes.
    """
    module = program.module(check_guards=False)
    module._forward_pre_hooks.clear()
    module.graph.set_codegen(torch.fx.graph.CodeGen())
    module.recompile()
    call: Call = module.forward
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
