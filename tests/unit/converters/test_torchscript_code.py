"""What may stand in a TorchScript's code, before torch compiles and runs it."""

from __future__ import annotations

import pytest

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import torchscript
from edgemeter_protos.v1 import refusal_pb2

HARMLESS = """
def forward(self, x: Tensor) -> Tensor:
    _0 = torch._convolution(x, CONSTANTS.c0, CONSTANTS.c1, [1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    _1 = ops.quantized.conv2d(_0, CONSTANTS.c2, 0.04, 56)
    packed = __torch__.torch.classes.quantized.Conv2dPackedParamsBase
    return torch.load_balance(_1 ^ 3)
"""


def test_ordinary_code_passes() -> None:
    torchscript.check_code(HARMLESS, "net.pt")


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ('torch.from_file("/etc/passwd", False, 10)', "from_file"),
        ('torch.save(x, "/tmp/x")', "save"),
        ('ops.aten.from_file ("/etc/passwd")', "from_file"),
        ("^PythonOp(1)(x)", "PythonOp"),
        ("ops.mylib.run(x)", "mylib.run"),
        ("a : __torch__.torch.classes.dist_rpc.WorkerInfo", "dist_rpc.WorkerInfo"),
    ],
)
def test_what_reaches_beyond_tensors_is_refused(line: str, named: str) -> None:
    with pytest.raises(ConversionError) as caught:
        torchscript.check_code(f"{HARMLESS}    y = {line}\n", "net.pt")
    assert caught.value.reason == refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL
    assert named in caught.value.message
