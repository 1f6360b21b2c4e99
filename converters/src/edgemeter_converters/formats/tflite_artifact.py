"""A .tflite file in LiteRT's interpreter. For conversion workers only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.formats.quantization import restore, store
from edgemeter_converters.models import tflite_graph, tflite_weights
from edgemeter_converters.models.tflite_graph import CONVERSIONS, FLOATS, Graph
from edgemeter_protos.v1 import variant_pb2


class TFLiteArtifact:
    """A .tflite that takes a batch of one, on one thread.

    Raises ValueError or RuntimeError where LiteRT can't load it.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, content: bytes) -> None:
        from ai_edge_litert.interpreter import OpResolverType

        self._content = content
        self._default = _interpreter(content, OpResolverType.AUTO)
        self.signature = variant_pb2.Signature(
            inputs=[_spec(details) for details in self._default.get_input_details()],
            outputs=[_spec(details) for details in self._default.get_output_details()],
        )
        self.parameters, self.non_zero_parameters = tflite_weights.count(tflite_graph.read(content))

    def run(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """On XNNPACK's kernels, LiteRT's usual ones."""
        return self._outputs(self._default, inputs)

    def run_reference(self, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        """On TensorFlow Lite's plain kernels."""
        from ai_edge_litert.interpreter import OpResolverType

        plain = _interpreter(self._content, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
        return self._outputs(plain, inputs)

    def run_layers(self, inputs: Sequence[NDArray[Any]]) -> dict[str, tuple[str, NDArray[Any]]]:
        """What each layer's last op gives, on the plain kernels: delegated ones show nothing in between.

        A layer that is called more than once counts with its last call. Ops whose outputs are no real numbers
        (shapes, indices) are left out, and those within control flow.
        """
        from ai_edge_litert.interpreter import OpResolverType

        shown = _interpreter(
            self._content, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES, preserve_all_tensors=True
        )
        graph = tflite_graph.read(self._content)[0]
        layers = _last_ops(graph)
        specs = {details["index"]: _spec(details) for details in shown.get_tensor_details()}
        taken: dict[str, list[NDArray[Any]]] = {layer: [] for layer in layers}
        for _ in self._samples(shown, inputs):
            for layer, (_, place) in layers.items():
                value = restore(shown.get_tensor(place), specs[place])
                taken[layer].append(value[0] if value.ndim and value.shape[0] == 1 else value)
        return {layer: (kind, np.stack(taken[layer])) for layer, (kind, _) in layers.items()}

    def _outputs(self, interpreter: Any, inputs: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], ...]:
        results = [details["index"] for details in interpreter.get_output_details()]
        outputs = [
            np.empty((len(inputs[0]), *spec.shape[1:]), dtype=np.dtype(spec.dtype))
            for spec in self.signature.outputs
        ]
        for sample in self._samples(interpreter, inputs):
            for result, output in zip(results, outputs, strict=True):
                output[sample] = interpreter.get_tensor(result)[0]
        return tuple(
            restore(output, spec) for output, spec in zip(outputs, self.signature.outputs, strict=True)
        )

    def _samples(self, interpreter: Any, inputs: Sequence[NDArray[Any]]) -> Iterator[int]:
        """Each sample's number, once the interpreter has run it."""
        places = [details["index"] for details in interpreter.get_input_details()]
        for sample in range(len(inputs[0])):
            for place, spec, array in zip(places, self.signature.inputs, inputs, strict=True):
                interpreter.set_tensor(place, store(array[sample : sample + 1], spec))
            interpreter.invoke()
            yield sample


def _last_ops(graph: Graph) -> dict[str, tuple[str, int]]:
    """The kind of each layer's op with weights, or of its last op, and the tensor that the last one gives."""
    layers: dict[str, tuple[str, int]] = {}
    weighty: dict[str, str] = {}
    for op in graph.ops:
        if op.kind in CONVERSIONS or not op.outputs:
            continue
        output = graph.tensors[op.outputs[0]]
        if output.dtype not in FLOATS and len(output.scales) == 0:
            continue
        if any(place >= 0 and tflite_weights.is_weight(graph.tensors[place]) for place in op.inputs):
            weighty.setdefault(op.layer, op.kind)
        layers.pop(op.layer, None)
        layers[op.layer] = weighty.get(op.layer, op.kind), op.outputs[0]
    return layers


def _interpreter(content: bytes, kernels: Any, *, preserve_all_tensors: bool = False) -> Any:
    import warnings

    from ai_edge_litert.interpreter import Interpreter

    with warnings.catch_warnings():
        # That keeping every tensor takes memory.
        warnings.simplefilter("ignore", UserWarning)
        interpreter = Interpreter(
            model_content=content,
            num_threads=1,
            experimental_op_resolver_type=kernels,
            experimental_preserve_all_tensors=preserve_all_tensors,
        )
    interpreter.allocate_tensors()
    return interpreter


def _spec(details: dict[str, Any]) -> variant_pb2.TensorSpec:
    scale, zero_point = details["quantization"]
    # Without a scale the numbers stand for themselves.
    quantization = variant_pb2.AffineQuantization(scale=scale, zero_point=zero_point) if scale else None
    return variant_pb2.TensorSpec(
        name=details["name"],
        dtype=np.dtype(details["dtype"]).name,
        shape=[int(size) for size in details["shape"]],
        quantization=quantization,
    )
