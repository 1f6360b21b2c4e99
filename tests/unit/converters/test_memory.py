from __future__ import annotations

import subprocess
import sys

import pytest

# In a process of its own: what a test before has freed may still be resident, and be used again.
PROGRAM = """
from edgemeter_converters.memory import PeakMemory

held = b"x" * 200_000_000
del held
memory = PeakMemory()
quiet = memory.peak_bytes()
held = b"x" * 100_000_000
del held
print(memory.peak_bytes() - quiet)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from Linux's /proc")
def test_counts_what_was_held_since_then_and_not_before() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert 80_000_000 < int(done.stdout) < 150_000_000
