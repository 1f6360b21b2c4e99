"""ONNX with integer arithmetic: static quantization (int8, int16x8) and dynamic.

int8's activations are unsigned bytes, its weights signed ones. Arm's kernels take signed ones on both sides
as well, but on x86 ONNX Runtime turns those unsigned by itself, and then merges only some of them into
integer operators: a ResNet of CIFAR-10's size takes 0.42 ms so, 0.21 with unsigned ones, 0.31 in float32.
On x86 without VNNI sums of such products may saturate; the golden pair shows it.

int16x8 has its activations rounded to 16 bits between layers that ONNX Runtime's processor kernels compute in
float32: the numerics of accelerators, at more than float32's latency (2.9 for 1.2 ms).

Dynamic quantization of convolutions is slower yet (10 for 1.2 ms): their integer kernels have no fast path.
Their weights are unsigned, for want of a kernel with signed ones before onnxruntime 1.31.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats.format import Encoding
from edgemeter_converters.formats.onnx_graph import (
    ACTIVATIONS,
    LAYERS,
    consumers,
    layer_nodes,
    refusals,
    tidy,
    with_opset,
)
from edgemeter_converters.formats.onnx_slim import slim
from edgemeter_converters.models import onnx_weights
from edgemeter_converters.steps import Precision

STATIC = frozenset(
    {
        "Conv",
        "ConvTranspose",
        "Gemm",
        "MatMul",
        "Gather",
        "LayerNormalization",
        "InstanceNormalization",
        "Softmax",
    }
)
"""Layers that static quantization makes integer. Recurrent ones stay in float."""

DYNAMIC = frozenset({"Conv", "Gemm", "MatMul", "LSTM", "Gather"})

PER_CHANNEL_OPSET = 13
"""The first whose QuantizeLinear has an axis."""

MIN_INTEGER_SHARE = 0.1
"""Of the weights: a file with fewer would be called int8 for little."""

_OWN_RANGE = frozenset({"Conv", "Gemm", "MatMul", "Add", "Mul"})

MAX_STRIDE = 16
"""Samples whose every activation is held in memory at once, to add them to histograms."""

_MAX_RANGES = 4

_ranges: OrderedDict[str, str] = OrderedDict()
"""Of this process: calibration's results, by what they follow from, the last used last. Finding out which
layers to keep in float encodes one model many times with the same ranges."""


class Reader:
    """Calibration samples as ONNX Runtime's calibrators take them: one a call."""

    def __init__(self, names: list[str], calibration: tuple[NDArray[Any], ...]) -> None:
        self._names, self._calibration = names, calibration
        self.set_range(0, len(self))

    def __len__(self) -> int:
        return len(self._calibration[0])

    def __iter__(self) -> Iterator[dict[str, NDArray[Any]]]:
        return iter(self.get_next, None)

    def set_range(self, start_index: int, end_index: int) -> None:
        self._samples = iter(range(start_index, end_index))

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        sample = next(self._samples, None)
        if sample is None:
            return None
        arrays = (array[sample : sample + 1] for array in self._calibration)
        return dict(zip(self._names, arrays, strict=True))


def quantize_statically(proto: Any, encoding: Encoding, kept: frozenset[str]) -> Any:
    """int8 or int16 activations, int8 weights.

    Args:
        proto: as `float_graph` gives it; may be changed.
        kept: names of layers to leave in float.

    Raises:
        ConversionError: there is nothing to quantize, or ONNX Runtime can't.
    """
    import onnx
    from onnxruntime import quantization as ort

    wide = encoding.precision is Precision.INT16X8
    operators = encoding.options.operators == "qoperator"
    proto = with_opset(proto, PER_CHANNEL_OPSET)
    _refuse_empty(proto, STATIC, encoding.precision)
    method, options = _calibration_options(encoding.options.calibration_method, len(encoding.calibration[0]))
    source, target = encoding.work_dir / "prepared.onnx", encoding.work_dir / "integer.onnx"
    onnx.save(proto, source)
    excluded = _left_in_float(proto.graph, kept)
    if operators:
        excluded += _activations_on_their_own(proto.graph)
    ranges, key = encoding.work_dir / "ranges.json", _key(source, encoding)
    if key in _ranges:
        _ranges.move_to_end(key)
        ranges.write_text(_ranges[key])
    with refusals("ONNX Runtime can't quantize the model"):
        ort.quantize_static(
            str(source),
            str(target),
            Reader([value.name for value in proto.graph.input], encoding.calibration),
            quant_format=ort.QuantFormat.QOperator if operators else ort.QuantFormat.QDQ,
            per_channel=not encoding.options.per_tensor,
            activation_type=ort.QuantType.QInt16 if wide else ort.QuantType.QUInt8,
            weight_type=ort.QuantType.QInt8,
            nodes_to_exclude=excluded,
            calibrate_method=ort.CalibrationMethod[method],
            extra_options=options,
            calibration_cache_path=str(ranges),
        )
    _ranges[key] = ranges.read_text()
    while len(_ranges) > _MAX_RANGES:
        _ranges.popitem(last=False)
    quantized = onnx.load(target)
    _refuse_float(quantized, kept, encoding.precision)
    if not operators:
        slim(quantized.graph)
    tidy(quantized)
    return quantized


def quantize_dynamically(proto: Any, encoding: Encoding, kept: frozenset[str]) -> Any:
    """int8 weights; activations are quantized from their range in each inference.

    Raises:
        ConversionError: there is nothing to quantize, or ONNX Runtime can't.
    """
    import onnx
    from onnxruntime import quantization as ort

    proto = with_opset(proto, PER_CHANNEL_OPSET)
    _refuse_empty(proto, DYNAMIC, encoding.precision)
    convolves = any(node.op_type == "Conv" and node.name not in kept for node in proto.graph.node)
    source, target = encoding.work_dir / "prepared.onnx", encoding.work_dir / "integer.onnx"
    onnx.save(proto, source)
    # A Gemm becomes a MatMul under another name before exclusions are looked at.
    excluded = sorted(kept) + [f"{name}_MatMul" for name in sorted(kept)]
    with refusals("ONNX Runtime can't quantize the model"):
        ort.quantize_dynamic(
            str(source),
            str(target),
            per_channel=not encoding.options.per_tensor,
            weight_type=ort.QuantType.QUInt8 if convolves else ort.QuantType.QInt8,
            nodes_to_exclude=excluded,
        )
    quantized = onnx.load(target)
    _refuse_float(quantized, kept, encoding.precision)
    tidy(quantized)
    return quantized


def _calibration_options(method: str, samples: int) -> tuple[str, dict[str, Any]]:
    """ONNX Runtime's name of a calibration method and what else it is told.

    Its moving average is, of samples that come at once, the mean of their least and greatest values. Its
    percentile is 99.999, of both ends where it would be of magnitudes by default, which wastes half of the
    integers on what never is negative.
    """
    if method in ("", "min-max"):
        return "MinMax", {}
    if method == "moving-average":
        return "MinMax", {"CalibMovingAverage": True}
    stride = max(each for each in range(1, MAX_STRIDE + 1) if samples % each == 0)
    name = "Percentile" if method == "percentile" else "Entropy"
    return name, {"CalibTensorRangeSymmetric": False, "CalibStridedMinMax": stride}


def _key(source: Path, encoding: Encoding) -> str:
    digest = hashlib.sha256(source.read_bytes())
    digest.update(f"{encoding.options.calibration_method} {encoding.precision}".encode())
    for array in encoding.calibration:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _refuse_empty(proto: Any, quantizable: frozenset[str], precision: Precision) -> None:
    kinds = [node.op_type for node in layer_nodes(proto.graph)]
    if not quantizable.intersection(kinds):
        there = ", ".join(sorted(set(kinds))) or "none"
        raise ConversionError(
            f"ONNX Runtime has nothing to quantize in the model for {precision.value!r}: of"
            f" {', '.join(sorted(quantizable))} it has no layer; its layers: {there}"
        )


def _refuse_float(quantized: Any, kept: frozenset[str], precision: Precision) -> None:
    counted = onnx_weights.weights(quantized)
    floats = {tensor.name for tensor in quantized.graph.initializer if onnx_weights.is_float(tensor)}
    size = sum(weight.size for weight in counted.values())
    integers = sum(weight.size for name, weight in counted.items() if name not in floats)
    if not kept and integers < MIN_INTEGER_SHARE * size:
        users = {weight.node for name, weight in counted.items() if name in floats}
        kinds = sorted(
            {node.op_type for node in quantized.graph.node if node.name in users and node.op_type in LAYERS}
        )
        raise ConversionError(
            f"ONNX Runtime makes integers of only {integers:,} of the model's {size:,} weights for"
            f" {precision.value!r}, and leaves {', '.join(kinds) or 'the others'} in float:"
            " weight-only-int8@onnx makes all of them small"
        )


def _activations_on_their_own(graph: Any) -> list[str]:
    """Activations that can't be merged into the layer before.

    The tool's QLinear operators leave them out all the same, which changes what the network computes: only
    where the layer before is quantized by a range of its own and feeds nothing else is that the activation's.
    """
    makers = {name: node for node in graph.node for name in node.output}
    users = consumers(graph)
    outputs = {value.name for value in graph.output}
    return [
        node.name
        for node in graph.node
        if node.op_type in ACTIVATIONS
        and not (
            node.input[0] in makers
            and makers[node.input[0]].op_type in _OWN_RANGE
            and len(users[node.input[0]]) == 1
            and node.input[0] not in outputs
        )
    ]


def _left_in_float(graph: Any, kept: frozenset[str]) -> list[str]:
    """The kept layers, and what only they feed: an addition of two layers in float needs no integers."""
    layers = {node.name for node in layer_nodes(graph)}
    feeding: dict[str, frozenset[str]] = {}
    excluded = []
    for node in graph.node:
        sources = frozenset().union(*(feeding.get(name, frozenset()) for name in node.input))
        if node.name in layers:
            sources = frozenset({node.name})
        if sources and sources <= kept:
            excluded.append(node.name)
        feeding.update(dict.fromkeys(node.output, sources))
    return excluded
