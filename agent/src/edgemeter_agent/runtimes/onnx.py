"""ONNX Runtime, on the processor alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from edgemeter_agent.runtimes.fit import check_fits
from edgemeter_agent.runtimes.quantization import to_real, to_stored
from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array, LoadedModel, RealArray

PROVIDER = "CPUExecutionProvider"

DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
"""numpy's names for ONNX Runtime's; what is not here (strings, sequences, maps) holds no numbers to time."""


def loader(package: str) -> Callable[[str, int], LoadedModel]:
    """Raises ImportError."""
    runtime: Any = import_module(package)

    def load(artifact_path: str, threads: int) -> LoadedModel:
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        # Threads spin while they wait within a query, as by default, but not on when it is over: that would
        # heat the board and take processors from the other variants.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        # Errors are raised; warnings are for who made the model.
        options.log_severity_level = 3
        return OnnxModel(runtime.InferenceSession(artifact_path, options, providers=[PROVIDER]))

    return load


class OnnxModel:
    """A session whose inputs and outputs are numbered as the model's graph has them.

    A query is `InferenceSession.run`: what applications call. Input arrays are used where they are, and
    output arrays are new each time. Beside a prepared I/O binding that costs 2 µs more on the smallest graph
    (5.0 for 3.3) and nothing on a large one; a binding whose outputs are copied out costs twice as much there
    (42 µs for 22 of 600 kB, onnxruntime 1.31 on x86-64).
    """

    def __init__(self, session: Any) -> None:
        """Raises ValueError for a model that takes or gives anything but tensors of numbers."""
        providers = session.get_providers()
        # Asked for one it does not have, ONNX Runtime goes on with another.
        if providers != [PROVIDER]:
            raise ValueError(f"the model would run on {', '.join(providers)}, and {PROVIDER} was asked for")
        self._session = session
        self.signature = variant_pb2.Signature(
            inputs=[_tensor_spec(each) for each in session.get_inputs()],
            outputs=[_tensor_spec(each) for each in session.get_outputs()],
        )
        self._output_names = [spec.name for spec in self.signature.outputs]
        self._prepared: dict[str, Array] = {}
        self._results: list[Array] = []

    def prepare(self, inputs: Sequence[Array]) -> None:
        specs = self.signature.inputs
        check_fits(inputs, specs)
        self._prepared = {
            spec.name: to_stored(array, spec) for array, spec in zip(inputs, specs, strict=True)
        }
        self._results = []

    def query(self) -> None:
        self._results = self._session.run(self._output_names, self._prepared)

    def outputs(self) -> list[RealArray]:
        return [
            to_real(np.asarray(array), spec)
            for array, spec in zip(self._results, self.signature.outputs, strict=True)
        ]


def _tensor_spec(argument: Any) -> variant_pb2.TensorSpec:
    if argument.type not in DTYPES:
        raise ValueError(f"{argument.name!r} is a {argument.type}, which can't be measured")
    return variant_pb2.TensorSpec(
        name=argument.name,
        dtype=DTYPES[argument.type],
        # A free dimension has a name or None for its size.
        shape=[size if isinstance(size, int) else -1 for size in argument.shape],
    )
