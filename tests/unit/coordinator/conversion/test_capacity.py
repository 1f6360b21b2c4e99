"""How many workers a machine bears."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_coordinator.conversion.capacity import WORKER_BYTES, Capacity, capacity

GB = 1_000_000_000


@pytest.mark.parametrize(
    ("cpu_count", "memory_bytes", "workers", "expected"),
    [
        pytest.param(2, 24 * GB, None, (2, 9_600_000_000), id="as many as processors"),
        pytest.param(16, 16 * GB, None, (2, 6_400_000_000), id="as many as memory bears"),
        pytest.param(4, 1 * GB, None, (1, 800_000_000), id="always one"),
        pytest.param(2, 24 * GB, 6, (6, 3_200_000_000), id="as many as were asked for"),
    ],
)
def test_capacity(cpu_count: int, memory_bytes: int, workers: int | None, expected: tuple[int, int]) -> None:
    found = capacity(cpu_count=cpu_count, memory_bytes=memory_bytes, workers=workers)
    assert found == Capacity(workers=expected[0], memory_limit_bytes=expected[1])


@given(st.integers(1, 1024), st.integers(1, 10**13))
def test_limits_stay_within_the_machine(cpu_count: int, memory_bytes: int) -> None:
    found = capacity(cpu_count=cpu_count, memory_bytes=memory_bytes)
    assert 1 <= found.workers <= cpu_count
    assert found.workers * found.memory_limit_bytes <= memory_bytes
    assert found.workers == 1 or found.memory_limit_bytes >= WORKER_BYTES
