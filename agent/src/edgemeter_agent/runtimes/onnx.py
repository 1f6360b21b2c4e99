"""ONNX Runtime, on the providers that it was asked for and no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from edgemeter_agent.runtimes.batch import batched, check_free, check_outputs
from edgemeter_agent.runtimes.fit import check_fits
from edgemeter_agent.runtimes.onnx_providers import (
    CPU,
    check_offered,
    check_taken,
    fallen_line,
    ran_on,
    wanted_providers,
)
from edgemeter_agent.runtimes.quantization import to_real, to_stored
from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array, LoadedModel, LoadOptions, RealArray

ARENA = "ONNX Runtime's Python API does not tell what its arenas hold"

NODES_ON_CPU = "assigned to the default CPU EP"
"""In what ONNX Runtime says where session.disable_cpu_ep_fallback made it refuse a graph."""

DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
"""numpy's names for ONNX Runtime's; what is not here (strings, sequences, maps) holds no numbers to time."""


def loader(package: str) -> Callable[[str, LoadOptions], LoadedModel]:
    """Raises ImportError."""
    runtime: Any = import_module(package)
    return lambda artifact_path, options: opened(runtime, artifact_path, options)


def opened(runtime: Any, artifact_path: str, options: LoadOptions, profile_prefix: str = "") -> OnnxModel:
    """A session on the asked providers; with a prefix it writes a profile to a file that begins so.

    Raises ValueError, one line, where a provider is not there, does not start or would leave nodes to
    another, and for a batch that the model does not take.
    """
    wanted = wanted_providers(options.accelerator)
    check_offered(wanted, runtime.get_available_providers())
    settings = runtime.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.inter_op_num_threads = 1
    # Threads spin while they wait within a query, as by default, but not on when it is over: that would heat
    # the board and take processors from the other variants.
    settings.add_session_config_entry("session.force_spinning_stop", "1")
    # Errors are raised; warnings are for who made the model.
    settings.log_severity_level = 3
    if wanted != (CPU,):
        settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if CPU not in wanted:
        settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    if profile_prefix:
        settings.enable_profiling = True
        settings.profile_file_prefix = profile_prefix
    try:
        # Its own fall-back would make another session and print that it did.
        session = runtime.InferenceSession(
            artifact_path, settings, providers=list(wanted), enable_fallback=False
        )
    except Exception as error:
        if NODES_ON_CPU in str(error):
            raise ValueError(fallen_line(wanted, "a part of the model")) from None
        raise
    session.disable_fallback()
    nodes = {} if wanted == (CPU,) else _nodes(session)
    check_taken(wanted, session.get_providers(), nodes)
    return OnnxModel(session, batch_size=options.batch_size, ran_on=ran_on(wanted, nodes))


class OnnxModel:
    """A session whose inputs and outputs are numbered as the model's graph has them.

    A query is `InferenceSession.run`: what applications call. Input arrays are used where they are, and
    output arrays are new each time. Beside a prepared I/O binding that costs 2 µs more on the smallest graph
    (5.0 for 3.3) and nothing on a large one; a binding whose outputs are copied out costs twice as much there
    (42 µs for 22 of 600 kB, onnxruntime 1.31 on x86-64). Where a device computes, its copies from and to it
    are a part of the query, and it returns when the outputs are there.
    """

    def __init__(self, session: Any, *, batch_size: int = 1, ran_on: str = CPU) -> None:
        """Raises ValueError for a model that takes or gives anything but tensors of numbers, and for a batch
        that it does not take."""
        self.session = session
        self.ran_on = ran_on
        signature = variant_pb2.Signature(
            inputs=[_tensor_spec(each) for each in session.get_inputs()],
            outputs=[_tensor_spec(each) for each in session.get_outputs()],
        )
        check_free("input", signature.inputs, batch_size)
        check_free("output", signature.outputs, batch_size)
        self.signature = batched(signature, batch_size)
        self._batch_size = batch_size
        self._output_names = [spec.name for spec in self.signature.outputs]
        self._prepared: dict[str, Array] = {}
        self._results: list[Array] = []

    def arena_bytes(self) -> int | None:
        return None

    def prepare(self, inputs: Sequence[Array]) -> None:
        specs = self.signature.inputs
        check_fits(inputs, specs)
        self._prepared = {
            spec.name: to_stored(array, spec) for array, spec in zip(inputs, specs, strict=True)
        }
        self._results = []

    def query(self) -> None:
        self._results = self.session.run(self._output_names, self._prepared)

    def outputs(self) -> list[RealArray]:
        """Raises ValueError where an output has no row for each sample of the batch."""
        arrays = [np.asarray(array) for array in self._results]
        check_outputs([array.shape for array in arrays], self._batch_size)
        return [to_real(array, spec) for array, spec in zip(arrays, self.signature.outputs, strict=True)]


def _nodes(session: Any) -> dict[str, int]:
    """Of the optimized graph, by provider; empty where this onnxruntime doesn't tell."""
    tell = getattr(session, "get_provider_graph_assignment_info", None)
    counted: Counter[str] = Counter()
    for part in tell() if tell else ():
        counted[part.ep_name] += len(part.get_nodes())
    return dict(counted)


def _tensor_spec(argument: Any) -> variant_pb2.TensorSpec:
    if argument.type not in DTYPES:
        raise ValueError(f"{argument.name!r} is a {argument.type}, which can't be measured")
    return variant_pb2.TensorSpec(
        name=argument.name,
        dtype=DTYPES[argument.type],
        # A free dimension has a name or None for its size.
        shape=[size if isinstance(size, int) else -1 for size in argument.shape],
    )
