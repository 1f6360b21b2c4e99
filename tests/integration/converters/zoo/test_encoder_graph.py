"""A transformer as ONNX: ONNX Runtime fuses it when the graph is prepared, and when a session begins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.needs_torch
def test_runs_fully_optimized() -> None:
    script = Path(__file__).with_name("fused_encoder.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout.splitlines()[-1]) < 1e-4
