from __future__ import annotations

import pytest

from edgemeter_agent.link import leases


@pytest.mark.parametrize(
    ("ttl_ms", "interval_s"),
    [
        pytest.param(60_000, 15.0, id="a quarter"),
        pytest.param(0, leases.MIN_INTERVAL_S, id="never a spin"),
    ],
)
def test_renewal_interval(ttl_ms: int, interval_s: float) -> None:
    assert leases.renewal_interval_s(ttl_ms) == interval_s
