"""What the formats of torch refuse: decided without importing anything."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edgemeter_converters.formats.executorch import ExecuTorch
from edgemeter_converters.formats.format import Format, Options
from edgemeter_converters.formats.pt2 import PT2
from edgemeter_converters.formats.torchscript import TorchScript
from edgemeter_converters.steps import Precision


@pytest.mark.parametrize("format_", [ExecuTorch(), TorchScript(), PT2()], ids=lambda each: each.name)
def test_each_precision_is_written_or_refused_with_a_reason(format_: Format) -> None:
    for framework in ("keras", "saved_model", "torch", "exported_program", "torchscript", "onnx", "tflite"):
        for precision in Precision:
            reason = format_.refusal(framework, precision, Options())
            if framework not in format_.frameworks or precision not in format_.precisions:
                assert reason
                assert "\n" not in reason


@pytest.mark.parametrize(
    ("format_", "options", "said"),
    [
        (ExecuTorch(), Options(io="int8"), "takes and gives float32"),
        (ExecuTorch(), Options(calibration_method="entropy"), "entropy"),
        (TorchScript(), Options(operators="qoperator"), "ONNX"),
        (TorchScript(), Options(calibration_method="percentile"), "percentile"),
        (ExecuTorch(), Options(per_tensor=True, calibration_method="moving-average", keep=("a",)), ""),
        (TorchScript(), Options(per_tensor=True, calibration_method="min-max", io="float"), ""),
    ],
)
def test_options_of_int8(format_: Format, options: Options, said: str) -> None:
    reason = format_.refusal("torch", Precision.INT8, options)
    assert (said in reason) if said else not reason


def test_deciding_imports_no_framework() -> None:
    code = (
        "import sys; from edgemeter_converters.formats import executorch, pt2, torchscript;"
        "from edgemeter_converters.models import bridge, torch_function, exported_program, torch_anatomy;"
        "print([name for name in ('torch', 'executorch', 'torchao', 'keras') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
