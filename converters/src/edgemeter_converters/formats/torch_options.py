"""Which options of int8 torch's own formats have. Pure."""

from __future__ import annotations

from collections.abc import Container

from edgemeter_converters.formats.format import Options


def options_refusal(options: Options, file: str, quantizer: str, methods: Container[str]) -> str:
    """Why a file of torch's can't be quantized so, one sentence; empty where it can.

    Args:
        file: what it is called, with an article.
        quantizer: the tool that quantizes.
        methods: calibration methods that it has, its usual one as the empty string.
    """
    if options.io == "int8":
        return f"{file} takes and gives float32"
    if options.operators == "qoperator":
        return "operators=qoperator is ONNX's"
    if options.calibration_method not in methods:
        return f"{quantizer} has no observer for method={options.calibration_method}"
    return ""
