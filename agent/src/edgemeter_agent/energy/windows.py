"""How long a window must be for a meter, and how the meter's lag is dealt with: pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgemeter_agent.meters import Description
from edgemeter_protos.v1 import plan_pb2

INTERIOR = "interior"
"""The board computes until the meter has settled, and goes on computing through the window."""
EXTENDED = "extended"
"""The window is lengthened by idle time until the meter has settled; what idle took of that is subtracted."""
NO_LAG = ""

SETTLED_LAGS = 5
"""exp(-5) = 0.7 % of a step is left then."""
SETTLED_READINGS = 2
"""A reading may show what was up to a period before it, and a meter that averages one period more."""
MIN_LAGS = 20
"""Of a window: a drift of 5 % over it, shown late by a twentieth of it, is 0.25 %, which is corrected. In an
extended window, 5 of the 20 are idle: idle power that is wrong by 1 % of the load's makes 0.25 %."""
MIN_READINGS = 20
"""Of a window and of an idle span."""
MAX_EDGE_ERROR = 0.005
"""Share of a window's energy that both its edges may be wrong by."""
MAX_DURATION_NS = 600_000_000_000
"""Of a window or an idle span. Nobody waits longer; such a meter has few readings, and is judged for it."""

SECOND_NS = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class WindowPlan:
    """What a window of a variant is like.

    Attributes:
        lag_rule: `INTERIOR`, `EXTENDED`, or `NO_LAG`.
        duration_ns: at least so long.
        warmup_ns: computing before the window begins; 0 with `EXTENDED`.
        settle_ns: until the meter shows what the board takes now: idle before and after an extended window,
            and before an idle span.
        idle_ns: of an idle span, without settling.
    """

    lag_rule: str
    duration_ns: int
    warmup_ns: int
    settle_ns: int
    idle_ns: int


def settle_ns(description: Description) -> int:
    """5 time constants and 2 readings."""
    lag_ns = description.lag_s * SECOND_NS
    return math.ceil(SETTLED_LAGS * lag_ns + SETTLED_READINGS * period_ns(description))


def period_ns(description: Description) -> float:
    """Between two readings, nominally."""
    return SECOND_NS / description.rate_hz


def plan_windows(description: Description, plan: plan_pb2.Plan, query_ns: float) -> WindowPlan:
    """For a variant whose query takes about `query_ns`.

    A meter that lags is met by `INTERIOR`, unless a single query takes longer than the idle time which
    `EXTENDED` spends on settling, before and after: a warm-up could not be had for less than a query.
    """
    settle = settle_ns(description)
    lag_ns = description.lag_s * SECOND_NS
    period = period_ns(description)
    duration = max(plan.energy_window_min_duration_ns, MIN_READINGS * period, MIN_LAGS * lag_ns)
    rule = NO_LAG
    if lag_ns > 0:
        rule = EXTENDED if query_ns > 2 * settle else INTERIOR
    if rule == EXTENDED:
        # Each edge may fall anywhere between two readings: period / sqrt(12), and there are two.
        duration = max(duration, period / math.sqrt(6) / MAX_EDGE_ERROR)
    return WindowPlan(
        lag_rule=rule,
        duration_ns=_bounded(duration, plan.energy_window_min_duration_ns),
        warmup_ns=0 if rule == EXTENDED else max(settle, plan.warmup_min_duration_ns),
        settle_ns=settle,
        idle_ns=_bounded(
            max(plan.idle_duration_ns, MIN_READINGS * period, 2 * SETTLED_LAGS * lag_ns),
            plan.idle_duration_ns,
        ),
    )


def _bounded(wanted_ns: float, asked_ns: int) -> int:
    return max(math.ceil(min(wanted_ns, MAX_DURATION_NS)), asked_ns)
