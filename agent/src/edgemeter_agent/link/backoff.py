"""How long to wait before trying again."""

from __future__ import annotations

BASE_NS = 500_000_000
CAP_NS = 30_000_000_000
FLOOR_NS = 100_000_000
"""Under full jitter a delay may come out near zero; this keeps a refused board from spinning."""

SLOW_NS = 300_000_000_000
"""Between tries at what only a person can change: a revoked certificate, a version mismatch."""


def delay_ns(failures: int, chance: float) -> int:
    """Full jitter: uniform between FLOOR_NS and min(CAP_NS, BASE_NS * 2**failures).

    `failures` counts those before this one; `chance` is uniform in [0, 1). Full jitter ends a crowd's
    reconnect soonest for the least work: Brooker, "Exponential Backoff And Jitter", AWS, 2015.
    """
    ceiling = min(CAP_NS, BASE_NS << min(failures, 16))
    return FLOOR_NS + int(chance * (ceiling - FLOOR_NS))


def slow_delay_ns(chance: float) -> int:
    """Uniform between half of SLOW_NS and SLOW_NS."""
    return SLOW_NS // 2 + int(chance * (SLOW_NS // 2))
