from __future__ import annotations

import sys

import pytest

from edgemeter_converters.memory import PeakMemory


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from Linux's /proc")
def test_counts_what_was_held_since_then_and_not_before() -> None:
    held = b"x" * 200_000_000
    del held
    memory = PeakMemory()
    quiet = memory.peak_bytes()
    held = b"x" * 100_000_000
    del held
    assert 80_000_000 < memory.peak_bytes() - quiet < 150_000_000
