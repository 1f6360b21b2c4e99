"""What ONNX offers, to whom, and what it refuses; none of it needs onnx."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgemeter_converters.formats.format import Options
from edgemeter_converters.formats.onnx import EXPORTED_SINCE, ONNX, SINCE
from edgemeter_converters.formats.onnx_artifact import layer_of
from edgemeter_converters.steps import OF_LANGUAGE_MODELS, Precision

FORMAT = ONNX()


@pytest.mark.parametrize("framework", ["onnx", "torch", "exported_program", "keras"])
def test_every_precision_but_w4a8_and_those_of_language_models_is_offered(framework: str) -> None:
    for precision in Precision:
        refused = FORMAT.refusal(framework, precision, Options())
        assert bool(refused) == (precision in {Precision.W4A8, *OF_LANGUAGE_MODELS})
        assert (precision in FORMAT.precisions) == (not refused)


@pytest.mark.parametrize(
    ("framework", "precision", "options", "said"),
    [
        ("saved_model", Precision.FLOAT32, Options(), "a saved_model model has no way to ONNX"),
        ("torchscript", Precision.INT8, Options(), "a torchscript model has no way to ONNX"),
        ("onnx", Precision.W4A8, Options(), "no 4-bit weights under 8-bit activations"),
        (
            "onnx",
            Precision.INT8,
            Options(io="int8"),
            "no place to say what integers",
        ),
        ("onnx", Precision.INT16X8, Options(io="int8"), "leave io out"),
        ("onnx", Precision.WEIGHT_ONLY_INT8, Options(per_tensor=True), "per_tensor does not go with"),
        ("onnx", Precision.DYNAMIC_INT8, Options(calibration_method="entropy"), "is not calibrated"),
        ("onnx", Precision.FLOAT16, Options(keep=("head",)), "'float16' leaves no layers in float"),
        ("onnx", Precision.FLOAT32, Options(keeps_by_itself=True), "'float32' leaves no layers in float"),
        ("onnx", Precision.INT16X8, Options(operators="qoperator"), "write operators=qdq"),
    ],
)
def test_what_does_not_go_together_is_refused(
    framework: str, precision: Precision, options: Options, said: str
) -> None:
    assert said in FORMAT.refusal(framework, precision, options)


@pytest.mark.parametrize(
    ("precision", "options"),
    [
        (Precision.INT8, Options(io="float", per_tensor=True, calibration_method="percentile")),
        (Precision.INT8, Options(operators="qoperator", keep=("a*", "b"))),
        (Precision.INT16X8, Options(calibration_method="moving-average", keeps_by_itself=True)),
        (Precision.DYNAMIC_INT8, Options(per_tensor=True, keep=("head",))),
        (Precision.WEIGHT_ONLY_INT4, Options(keep=("head",))),
    ],
)
def test_what_goes_together_is_not(precision: Precision, options: Options) -> None:
    assert FORMAT.refusal("torch", precision, options) == ""


@pytest.mark.parametrize(
    ("framework", "precision", "since"),
    [
        ("torch", Precision.FLOAT32, EXPORTED_SINCE),
        ("keras", Precision.INT8, EXPORTED_SINCE),
        ("exported_program", Precision.DYNAMIC_INT8, EXPORTED_SINCE),
        # Silently wrong on 1.17.
        ("torch", Precision.FLOAT16, SINCE),
        # Opset 21.
        ("torch", Precision.WEIGHT_ONLY_INT4, SINCE),
        ("torch", Precision.INT16X8, SINCE),
        # Whatever opset the model came in.
        ("onnx", Precision.FLOAT32, SINCE),
    ],
)
def test_who_runs_it(framework: str, precision: Precision, since: str) -> None:
    (requirement,) = FORMAT.runtimes(framework, precision, Options())
    assert (requirement.runtime, requirement.min_version) == ("onnxruntime", since)


def test_the_tools_are_those_that_write_it() -> None:
    assert FORMAT.tools("onnx", Precision.INT8) == (("onnx",), ("onnxruntime",))
    assert ("torch",) in FORMAT.tools("torch", Precision.INT8)
    assert {("keras",), ("torch",), ("onnxscript",)} < set(FORMAT.tools("keras", Precision.INT8))


@pytest.mark.parametrize(
    ("node", "layer"),
    [("stem", "stem"), ("stem_quant", "stem"), ("head_MatMul_quant", "head"), ("a/MatMul_2", "a/MatMul_2")],
)
def test_a_quantizers_node_is_of_a_layer(node: str, layer: str) -> None:
    assert layer_of(node) == layer


def test_nothing_heavy_is_imported_to_ask() -> None:
    heavy = "('onnx', 'onnxruntime', 'torch', 'keras', 'tensorflow')"
    asked = (
        "import sys; from edgemeter_converters.formats.onnx import ONNX;"
        " from edgemeter_converters.formats.format import Options;"
        " from edgemeter_converters.steps import Precision; f = ONNX();"
        " f.refusal('onnx', Precision.INT8, Options()); f.tools('onnx', Precision.INT8);"
        f" print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n", done.stderr
