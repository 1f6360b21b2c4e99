"""LiteRT and tflite-runtime: one API under two names of a package."""

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


def loader(package: str) -> Callable[[str, int], LoadedModel]:
    """Raises ImportError."""
    interpreter = import_module(f"{package}.interpreter").Interpreter

    def load(artifact_path: str, threads: int) -> LoadedModel:
        return TfliteModel(interpreter(model_path=artifact_path, num_threads=threads))

    return load


class TfliteModel:
    """An interpreter with its tensors allocated. Inputs and outputs are numbered as the model's subgraph has
    them (get_input_details, get_output_details).

    set_tensor and get_tensor are the copies: on small tensors they cost half of what copying through a view
    from tensor() does, and every application pays for them too.
    """

    def __init__(self, interpreter: Any) -> None:
        interpreter.allocate_tensors()
        self._interpreter = interpreter
        self._read_details()

    def _read_details(self) -> None:
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        self.signature = variant_pb2.Signature(
            inputs=[_tensor_spec(detail) for detail in inputs],
            outputs=[_tensor_spec(detail) for detail in outputs],
        )
        self._shapes = [tuple(int(size) for size in detail["shape"]) for detail in inputs]
        self._input_indices = [int(detail["index"]) for detail in inputs]
        self._output_indices = [int(detail["index"]) for detail in outputs]
        self._prepared: list[tuple[int, Array]] = []
        self._results: list[Array] = []

    def prepare(self, inputs: Sequence[Array]) -> None:
        specs = self.signature.inputs
        check_fits(inputs, specs)
        self._resize([array.shape for array in inputs])
        self._prepared = [
            (index, to_stored(array, spec))
            for index, array, spec in zip(self._input_indices, inputs, specs, strict=True)
        ]
        self._results = [np.empty(0)] * len(self._output_indices)

    def _resize(self, shapes: list[tuple[int, ...]]) -> None:
        """Free dimensions take those of the sample; does nothing where they have them already."""
        if shapes == self._shapes:
            return
        for index, shape in zip(self._input_indices, shapes, strict=True):
            self._interpreter.resize_tensor_input(index, shape, strict=True)
        self._interpreter.allocate_tensors()
        self._shapes = shapes

    def query(self) -> None:
        interpreter = self._interpreter
        for index, array in self._prepared:
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        results = self._results
        for position, index in enumerate(self._output_indices):
            results[position] = interpreter.get_tensor(index)

    def outputs(self) -> list[RealArray]:
        return [
            to_real(array, spec) for array, spec in zip(self._results, self.signature.outputs, strict=True)
        ]


def _tensor_spec(detail: dict[str, Any]) -> variant_pb2.TensorSpec:
    dtype = np.dtype(detail["dtype"])
    signature = detail.get("shape_signature")
    shape = detail["shape"] if signature is None or len(signature) == 0 else signature
    spec = variant_pb2.TensorSpec(name=detail["name"], dtype=dtype.name, shape=[int(size) for size in shape])
    scale, zero_point = detail["quantization"]
    # A scale of 0 means: not quantized.
    if dtype.kind in "iu" and scale:
        spec.quantization.CopyFrom(
            variant_pb2.AffineQuantization(scale=float(scale), zero_point=int(zero_point))
        )
    return spec
