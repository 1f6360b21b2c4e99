"""Convolutions whose padding is a word are quantized, or left in float where a side would get more."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.needs_torch]

SCRIPT = """
import json, sys, tempfile
from pathlib import Path
import numpy as np, torch
from edgemeter_converters.formats import Encoding
from edgemeter_converters.formats.torchscript import TorchScript
from edgemeter_converters.models import torch_module
from edgemeter_converters.steps import Precision
from edgemeter_protos.v1 import variant_pb2

torch.manual_seed(0)
net = torch.nn.Sequential(
    torch.nn.Conv2d(3, 8, 3, padding="same", dilation=2), torch.nn.ReLU(),
    torch.nn.Conv2d(8, 8, 2, padding="same"), torch.nn.ReLU(),
    torch.nn.Conv2d(8, 4, 3, padding="valid"),
).eval()
spec = variant_pb2.TensorSpec(name="x", dtype="float32", shape=[-1, 3, 10, 10])
model = torch_module.loaded(net, "net", inputs=(spec,))
x = np.random.RandomState(1).standard_normal((20, 3, 10, 10)).astype(np.float32)
work_dir = Path(tempfile.mkdtemp())
encoding = Encoding(
    precision=Precision.INT8, input_shapes=((3, 10, 10),), calibration=(x,), work_dir=work_dir
)
format_ = TorchScript()
output = format_.open(format_.encode(model, encoding)).run((x,))[0]
expected = torch_module.predict(net, (x,))[0]
noise, signal = np.square(output - expected).sum(), np.square(expected).sum()
words = [module.padding for module in net.modules() if hasattr(module, "padding")]
print(json.dumps({"decibels": 10 * np.log10(signal / noise), "words": words}))
"""


def test_padding_in_words() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["decibels"] > 20
    # The original is not changed.
    assert found["words"] == ["same", "same", "valid"]
