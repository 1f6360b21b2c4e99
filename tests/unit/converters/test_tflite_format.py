"""What TFLite promises before anything is converted."""

from __future__ import annotations

import pytest

from edgemeter_converters.formats import Options
from edgemeter_converters.formats.tflite import TFLite
from edgemeter_converters.formats.tflite_tensorflow import reason
from edgemeter_converters.steps import Precision

FORMAT = TFLite()
USUAL = Options()


@pytest.mark.parametrize("precision", [each for each in Precision if each in FORMAT.precisions])
@pytest.mark.parametrize("framework", ["keras", "saved_model", "torch", "exported_program", "tflite"])
def test_takes_every_precision_of_every_framework_that_it_names(framework: str, precision: Precision) -> None:
    assert framework in FORMAT.frameworks
    assert FORMAT.refusal(framework, precision, USUAL) == ""
    assert FORMAT.refusal(framework, precision, Options(keep=("head",))) == ""


@pytest.mark.parametrize(
    ("framework", "precision", "options", "message"),
    [
        pytest.param(
            "torchscript", Precision.FLOAT32, USUAL, "litert-torch takes no TorchScript", id="torchscript"
        ),
        pytest.param("onnx", Precision.INT8, USUAL, "there is no way from onnx to TFLite", id="onnx"),
        pytest.param(
            "keras",
            Precision.INT8,
            Options(calibration_method="entropy"),
            "TFLite's tools calibrate by min-max or moving-average, not by entropy",
            id="entropy",
        ),
        pytest.param(
            "torch",
            Precision.INT16X8,
            Options(io="int8"),
            "int16x8 takes and gives int16, or float with io=float",
            id="int8 of int16x8",
        ),
    ],
)
def test_refusals(framework: str, precision: Precision, options: Options, message: str) -> None:
    assert FORMAT.refusal(framework, precision, options).startswith(message)


@pytest.mark.parametrize(
    ("framework", "precision", "options", "runtimes"),
    [
        pytest.param("keras", Precision.INT8, USUAL, ["litert 1.4.0", "tflite-runtime 2.14.0"], id="int8"),
        pytest.param(
            "keras",
            Precision.INT8,
            Options(keep=("a",)),
            ["litert 1.4.0", "tflite-runtime 2.14.0"],
            id="by ai-edge-quantizer",
        ),
        pytest.param("keras", Precision.DYNAMIC_INT8, USUAL, ["litert 1.4.0"], id="TensorFlow's dynamic"),
        pytest.param(
            "keras", Precision.DYNAMIC_INT8, Options(keep=("a",)), ["litert 2.3.0"], id="the other's dynamic"
        ),
        pytest.param("tflite", Precision.DYNAMIC_INT8, USUAL, ["litert 2.3.0"], id="dynamic of a .tflite"),
        pytest.param("keras", Precision.W4A8, USUAL, ["litert 2.3.0"], id="four bits"),
        pytest.param("keras", Precision.WEIGHT_ONLY_INT4, USUAL, ["litert 2.3.0"], id="four bits, weights"),
        pytest.param("torch", Precision.FLOAT32, USUAL, ["litert 2.3.0"], id="torch"),
    ],
)
def test_runtimes(framework: str, precision: Precision, options: Options, runtimes: list[str]) -> None:
    found = FORMAT.runtimes(framework, precision, options)
    assert [f"{each.runtime} {each.min_version}" for each in found] == runtimes


def test_what_ai_edge_quantizer_makes_dynamic_never_goes_to_tflite_runtime() -> None:
    """It runs there, and wrong."""
    for framework in FORMAT.frameworks:
        for precision in (Precision.DYNAMIC_INT8, Precision.W4A8):
            for options in (USUAL, Options(keep=("a",)), Options(per_tensor=True)):
                names = [each.runtime for each in FORMAT.runtimes(framework, precision, options)]
                assert names == ["litert"]


def test_tools_are_those_that_shape_the_file() -> None:
    def names(framework: str, precision: Precision) -> set[str]:
        return {each[0] for each in FORMAT.tools(framework, precision)}

    assert names("keras", Precision.FLOAT32) == {"ai-edge-litert", "tensorflow", "keras"}
    assert names("torch", Precision.INT8) == {"ai-edge-litert", "torch", "litert-torch", "ai-edge-quantizer"}
    assert names("tflite", Precision.W4A8) == {"ai-edge-litert", "ai-edge-quantizer"}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        pytest.param(
            "Could not translate MLIR to FlatBuffer.<unknown>:0: error: loc(callsite(fused"
            '["Erfinv:", "net_1/odd_1/Erfinv@__inference_serve_3"] at "x")): '
            "'tf.Erfinv' op is neither a custom op nor a flex op\n<unknown>:0: error: failed",
            "layer 'odd': 'tf.Erfinv' op is neither a custom op nor a flex op",
            id="with a location",
        ),
        pytest.param(
            "Quantization not yet supported for op: 'SIN'.\nQuantization to 16x8 …",
            "Quantization not yet supported for op: 'SIN'.",
            id="without one",
        ),
        pytest.param("", "RuntimeError", id="nothing at all"),
        pytest.param("x" * 400, "x" * 299 + "…", id="too much"),
    ],
)
def test_a_converter_s_reason_is_one_line(said: str, expected: str) -> None:
    assert reason(RuntimeError(said)) == expected
