"""ai-edge-quantizer, on a float32 .tflite of any origin. For conversion workers only.

Its recipes go by op: each has the precisions that it has kernels for. An int8 or int16x8 file that would have
float ops in between is refused, unless these are to be kept in float.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats import tflite_bias_shapes
from edgemeter_converters.formats.format import Encoding, Options
from edgemeter_converters.models import tflite_graph, tflite_names, tflite_weights
from edgemeter_converters.models.tflite_graph import CONVERSIONS, FLOATS, Graph, Op
from edgemeter_converters.steps import Precision

STATIC = frozenset({Precision.INT8, Precision.INT16X8})
"""Those whose activations are integers."""

_ACTIVATION_BITS = {Precision.INT8: 8, Precision.INT16X8: 16}

_DYNAMIC = {Precision.DYNAMIC_INT8: 8, Precision.W4A8: 4}
_WEIGHT_ONLY = {Precision.WEIGHT_ONLY_INT8: 8, Precision.WEIGHT_ONLY_INT4: 4}
"""Bits of the weights."""

_MAX_SCOPE_CHARACTERS = 10_000
"""What ai-edge-quantizer cuts an op's name at."""


def quantize(content: bytes, encoding: Encoding) -> bytes:
    """A float32 file with a signature, quantized; inputs and outputs stay in their order.

    Raises:
        ConversionError: a pattern of `keep` means no layer; an op has no kernel of that precision and is not
            kept in float; nothing can be quantized.
    """
    precision, options = encoding.precision, encoding.options
    content = tflite_bias_shapes.flattened(content)
    graph = tflite_graph.read(content)[0]
    kept = _kept(graph, options.keep)
    inputs, outputs = tflite_graph.signature_names(content)
    try:
        quantized = _quantize(content, encoding, inputs, [_scope(op, graph) for op in kept])
        quantized = tflite_graph.ordered(quantized, inputs, outputs)
    except (MemoryError, ImportError):
        raise
    except Exception as error:
        # Its algorithms raise whatever an op's shape happens to raise.
        raise ConversionError(f"ai-edge-quantizer can't quantize the model: {_first_line(error)}") from error
    after = tflite_graph.read(quantized)[0]
    if precision in STATIC:
        _refuse_float_ops(after, kept, encoding)
    if not any(_is_reduced(graph_) for graph_ in tflite_graph.read(quantized)):
        raise ConversionError(
            f"ai-edge-quantizer found nothing to write as {precision.value}: it has kernels of that kind "
            f"for none of the model's ops ({', '.join(sorted({op.kind for op in graph.ops}))})"
        )
    return quantized


def layers(content: bytes) -> tuple[str, ...]:
    """Paths of the layers that can be left in float, in the network's order."""
    graph = tflite_graph.read(content)[0]
    return tuple(dict.fromkeys(op.layer for op in graph.ops if _gives_floats(op, graph)))


def _kept(graph: Graph, patterns: Sequence[str]) -> list[Op]:
    every = [name for op in graph.ops for name in op.layers]
    missing = tflite_names.unmatched(patterns, every)
    if missing:
        known = list(dict.fromkeys(op.layer for op in graph.ops))
        shown = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
        raise ConversionError(f"keep={missing[0]}: the model has no such layer; it has {shown}")
    return [
        op
        for op in graph.ops
        if any(tflite_names.matches(pattern, name) for pattern in patterns for name in op.layers)
    ]


def _scope(op: Op, graph: Graph) -> str:
    """The name by which ai-edge-quantizer's recipes know an op (`tfl_flatbuffer_utils.get_op_scope`)."""
    names = [graph.tensors[place].name for place in op.outputs]
    return "".join(f"{name};" for name in names if name)[:_MAX_SCOPE_CHARACTERS]


def _quantize(content: bytes, encoding: Encoding, inputs: Sequence[str], kept: Sequence[str]) -> bytes:
    from ai_edge_quantizer import quantizer

    from edgemeter_converters.formats import tflite_bias_ranges

    def prepared(file: bytes) -> Any:
        work = quantizer.Quantizer(file)
        _write_recipe(work, encoding.precision, encoding.options)
        for scope in kept:
            _leave(work, f"^{re.escape(scope)}$", "ALL_SUPPORTED")
        return work

    def written(work: Any, statistics: Any) -> bytes:
        return bytes(work.quantize(statistics, enable_progress_report=False).quantized_model)

    work = prepared(content)
    if encoding.precision not in STATIC:
        return written(work, None)
    statistics = _calibrate(work, content, encoding, inputs)
    quantized = written(work, statistics)
    roomy = tflite_bias_ranges.with_room(content, quantized)
    return quantized if roomy is content else written(prepared(roomy), statistics)


def _write_recipe(work: Any, precision: Precision, options: Options) -> None:
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    every, all_ops = ".*", qtyping.TFLOperationName.ALL_SUPPORTED
    granularity = (
        qtyping.QuantGranularity.TENSORWISE if options.per_tensor else qtyping.QuantGranularity.CHANNELWISE
    )
    if precision in STATIC:
        work.add_static_config(every, all_ops, _ACTIVATION_BITS[precision], 8, granularity)
        if options.io == "float":
            for end in ("INPUT", "OUTPUT"):
                _leave(work, every, end)
    elif precision in _DYNAMIC:
        work.add_dynamic_config(every, all_ops, _DYNAMIC[precision], granularity)
    elif precision in _WEIGHT_ONLY:
        work.add_weight_only_config(every, all_ops, _WEIGHT_ONLY[precision], granularity)
    else:
        work.add_weight_only_config(
            every,
            all_ops,
            16,
            qtyping.QuantGranularity.TENSORWISE,
            algorithm_key=AlgorithmName.FLOAT_CASTING,
        )


def _leave(work: Any, regex: str, operation: str) -> None:
    from ai_edge_quantizer import qtyping
    from ai_edge_quantizer.algorithm_manager import AlgorithmName

    work.update_quantization_recipe(
        regex, qtyping.TFLOperationName[operation], algorithm_key=AlgorithmName.NO_QUANTIZE
    )


def _calibrate(work: Any, content: bytes, encoding: Encoding, inputs: Sequence[str]) -> Any:
    """Ranges of every tensor: the extremes, or moving averages of each sample's.

    The latter are ai-edge-quantizer's usual, but of single samples they cut off much: 10 dB for 30 on small
    nets. So the extremes are the usual here, as with TensorFlow's converter.
    """
    from ai_edge_quantizer import calibrator, recipe_manager
    from ai_edge_quantizer.utils import qsv_utils

    update = (
        qsv_utils.moving_average_update
        if encoding.options.calibration_method == "moving-average"
        else qsv_utils.min_max_update
    )
    recipe = recipe_manager.RecipeManager()
    recipe.load_quantization_recipe(work.get_quantization_recipe())
    # The other mode reads every tensor, and fails on those that no op takes.
    mode = calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED
    seen = calibrator.Calibrator(content, num_threads=1, mode=mode, qsv_update_func=update)
    arrays = [_as_stored(array) for array in encoding.calibration]
    samples = [
        {name: array[at : at + 1] for name, array in zip(inputs, arrays, strict=True)}
        for at in range(len(arrays[0]))
    ]
    seen.calibrate({next(iter(seen.get_signature_list())): samples}, recipe)
    return seen.get_model_qsvs()


def _as_stored(array: NDArray[Any]) -> NDArray[Any]:
    """litert-torch writes 64-bit inputs as 32-bit ones."""
    narrower = {np.dtype(np.int64): np.int32, np.dtype(np.float64): np.float32}
    return array.astype(narrower.get(array.dtype, array.dtype))


def _refuse_float_ops(graph: Graph, kept: Sequence[Op], encoding: Encoding) -> None:
    allowed = {layer for op in kept for layer in op.layers}
    left = [
        op
        for op in graph.ops
        if op.kind not in CONVERSIONS and _gives_floats(op, graph) and not allowed.intersection(op.layers)
    ]
    if not left:
        return
    precision = encoding.precision.value
    shown = ", ".join(dict.fromkeys(f"{op.layer!r} ({op.kind})" for op in left[:10]))
    names = "|".join(dict.fromkeys((*encoding.options.keep, *(op.layer for op in left))))
    raise ConversionError(
        f"ai-edge-quantizer has no {precision} kernel for layer {shown}: "
        f"leave it in float with {precision}(keep={names})"
    )


def _gives_floats(op: Op, graph: Graph) -> bool:
    return op.kind not in CONVERSIONS and any(graph.tensors[at].dtype in FLOATS for at in op.outputs)


def _is_reduced(graph: Graph) -> bool:
    return any(
        tflite_weights.is_weight(tensor) and tensor.dtype != "float32" for tensor in graph.tensors
    ) or any(len(graph.tensors[at].scales) for op in graph.ops for at in op.outputs)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    return first if len(first) <= 300 else first[:299] + "…"
