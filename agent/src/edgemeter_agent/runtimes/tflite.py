"""LiteRT and tflite-runtime: one API under two names of a package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from edgemeter_agent.runtimes.accelerators import TFLITE, unknown
from edgemeter_agent.runtimes.batch import batched, check_outputs
from edgemeter_agent.runtimes.fit import check_fits
from edgemeter_agent.runtimes.quantization import to_real, to_stored
from edgemeter_agent.runtimes.tflite_delegates import Delegated, Node, delegated
from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    from edgemeter_agent.runtimes import Array, LoadedModel, LoadOptions, RealArray

ARENA = "the interpreter's Python API does not tell what its arena holds"

RESOLVERS = {"": "AUTO", "xnnpack": "AUTO", "cpu": "BUILTIN_WITHOUT_DEFAULT_DELEGATES"}
"""The interpreter's OpResolverType for an accelerator. AUTO lets XNNPACK take what it can."""


def loader(package: str) -> Callable[[str, LoadOptions], LoadedModel]:
    """Raises ImportError."""
    module: Any = import_module(f"{package}.interpreter")

    def load(artifact_path: str, options: LoadOptions) -> LoadedModel:
        return opened(module, artifact_path, options)

    return load


def opened(module: Any, artifact_path: str, options: LoadOptions) -> TfliteModel:
    """Raises ValueError, one line, for an accelerator that takes nothing of the model and for a batch that
    the model does not take."""
    if options.accelerator not in RESOLVERS:
        raise unknown("TFLite", options.accelerator, TFLITE)
    interpreter = module.Interpreter(
        model_path=artifact_path,
        num_threads=options.threads,
        experimental_op_resolver_type=getattr(module.OpResolverType, RESOLVERS[options.accelerator]),
    )
    model = TfliteModel(interpreter, batch_size=options.batch_size)
    if options.accelerator == "xnnpack" and not model.delegated.taken:
        raise ValueError(
            f"XNNPACK takes none of the model's {model.delegated.total} operators, and 'xnnpack' was asked"
            " for"
        )
    return model


class TfliteModel:
    """An interpreter with its tensors allocated. Inputs and outputs are numbered as the model's subgraph has
    them (get_input_details, get_output_details).

    set_tensor and get_tensor are the copies: on small tensors they cost half of what copying through a view
    from tensor() does, and every application pays for them too.
    """

    def __init__(self, interpreter: Any, *, batch_size: int = 1) -> None:
        self._interpreter = interpreter
        self._batch_size = batch_size
        if batch_size > 1:
            self._take_batch()
        interpreter.allocate_tensors()
        self._read_details()

    @cached_property
    def delegated(self) -> Delegated:
        """How many of the graph's operators XNNPACK took when the tensors were allocated."""
        # Held no longer than this: the interpreter counts who refers to it.
        inner = self._interpreter._interpreter
        return delegated(
            [
                Node(
                    name=inner.NodeName(number),
                    inputs=tuple(int(each) for each in inner.NodeInputs(number)),
                    outputs=tuple(int(each) for each in inner.NodeOutputs(number)),
                )
                for number in range(inner.NumNodes())
            ]
        )

    @cached_property
    def ran_on(self) -> str:
        """ "CPU (XNNPACK)" where it took every operator, "CPU (XNNPACK: 62 of 64 operators)", or "CPU"."""
        share = self.delegated
        if not share.taken:
            return "CPU"
        if share.taken == share.total:
            return "CPU (XNNPACK)"
        return f"CPU (XNNPACK: {share.taken} of {share.total} operators)"

    def arena_bytes(self) -> int | None:
        return None

    def _take_batch(self) -> None:
        """Raises ValueError, one line, where an operator is made for another batch."""
        try:
            for detail in self._interpreter.get_input_details():
                shape = [int(size) for size in detail["shape"]]
                self._interpreter.resize_tensor_input(detail["index"], [self._batch_size, *shape[1:]])
            self._interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            why = (str(error).strip().splitlines() or ["no reason given"])[0]
            raise ValueError(f"the model does not take a batch of {self._batch_size}: {why}") from None
        outputs = self._interpreter.get_output_details()
        check_outputs([[int(size) for size in detail["shape"]] for detail in outputs], self._batch_size)

    def _read_details(self) -> None:
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        signature = variant_pb2.Signature(
            inputs=[_tensor_spec(detail) for detail in inputs],
            outputs=[_tensor_spec(detail) for detail in outputs],
        )
        self.signature = batched(signature, self._batch_size)
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
            self._interpreter.resize_tensor_input(index, shape, strict=self._batch_size == 1)
        self._interpreter.allocate_tensors()
        self._shapes = shapes

    @property
    def given(self) -> list[tuple[int, Array]]:
        """Tensor numbers and what goes into them, in the inputs' order."""
        return self._prepared

    @property
    def got(self) -> list[tuple[int, Array]]:
        """Likewise of the outputs, as the last query left them."""
        return list(zip(self._output_indices, self._results, strict=True))

    def query(self) -> None:
        interpreter = self._interpreter
        for index, array in self._prepared:
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        results = self._results
        for position, index in enumerate(self._output_indices):
            results[position] = interpreter.get_tensor(index)

    def outputs(self) -> list[RealArray]:
        """Raises ValueError where an output has no row for each sample of the batch."""
        check_outputs([array.shape for array in self._results], self._batch_size)
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
