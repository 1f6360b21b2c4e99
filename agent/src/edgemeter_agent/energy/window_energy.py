"""Energy of one window, and what its edges may be wrong by: pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgemeter_agent.energy.integrate import UJ_PER_MW_NS, Span, energy_uj, lag_correction_uj, rise_mw
from edgemeter_agent.energy.trace import Trace
from edgemeter_agent.energy.uncertainty import LAG_ERROR, rectangular
from edgemeter_agent.energy.windows import EXTENDED, SECOND_NS, WindowPlan, period_ns
from edgemeter_agent.meters import Description

GUARD = 3
"""Standard uncertainties of a remote meter's clock that are guarded against."""
MAX_GUARD_SHARE = 0.1
"""Of a window, on either side, that may be left out because a remote meter's clock is not quite ours."""


@dataclass(frozen=True, kw_only=True)
class WindowEnergy:
    """In uJ, for the whole window.

    Attributes:
        edges_uj: standard uncertainty of what lies about the edges; of one sign in all windows.
        alignment_uj: likewise, of where the edges are on the meter's clock.
    """

    energy_uj: float
    edges_uj: float
    alignment_uj: float


@dataclass(frozen=True, kw_only=True)
class Idle:
    """What the idle board takes, and its standard uncertainty without gain and offset."""

    power_mw: float
    u_mw: float


def window_energy(
    trace: Trace,
    span: Span,
    *,
    description: Description,
    plan: WindowPlan,
    idle: Idle | None,
    alignment_ns: float = 0.0,
) -> WindowEnergy:
    """Of an `ordered` trace. An extended window needs `idle`. Raises ValueError where too few readings lie
    about the window."""
    if plan.lag_rule == EXTENDED:
        return _extended(trace, span, description, plan, idle, alignment_ns)
    return _interior(trace, span, description, plan, idle, alignment_ns)


def _interior(
    trace: Trace,
    span: Span,
    description: Description,
    plan: WindowPlan,
    idle: Idle | None,
    alignment_ns: float,
) -> WindowEnergy:
    """The mean power inside, where the board computes and the meter has settled, times the window's duration.

    Where the meter's clock may be off, three times that much is left out at both ends, so that no idle
    reading is taken for one of the load.
    """
    guard = int(min(GUARD * alignment_ns, MAX_GUARD_SHARE * span.duration_ns))
    inner = Span(begin_ns=span.begin_ns + guard, end_ns=span.end_ns - guard)
    # A counter counts at once what it counts.
    lag_s = 0.0 if trace.counter_uj.size else description.lag_s
    correction = lag_correction_uj(trace, inner, lag_s)
    energy = (energy_uj(trace, inner, hold_end=True) + correction) * span.duration_ns / inner.duration_ns
    # Not settled yet when the window began: exp(-warm-up / lag) of the step is left, and decays.
    step_mw = abs(energy / (span.duration_ns * UJ_PER_MW_NS) - idle.power_mw) if idle else 0.0
    lag_ns = lag_s * SECOND_NS
    unsettled = step_mw * lag_ns * math.exp(-plan.warmup_ns / lag_ns) if lag_ns > 0 else 0.0
    drift = abs(rise_mw(trace, inner))
    # A reading may show what was at any moment of the period before it.
    late = drift * rectangular(period_ns(description)) if not trace.counter_uj.size else 0.0
    return WindowEnergy(
        energy_uj=energy,
        edges_uj=math.hypot(unsettled * UJ_PER_MW_NS, LAG_ERROR * correction, late * UJ_PER_MW_NS),
        alignment_uj=(step_mw * max(alignment_ns - guard / GUARD, 0.0) + drift * alignment_ns) * UJ_PER_MW_NS,
    )


def _extended(
    trace: Trace,
    span: Span,
    description: Description,
    plan: WindowPlan,
    idle: Idle | None,
    alignment_ns: float,
) -> WindowEnergy:
    """Everything from the window's begin until the meter has settled after it, less what the idle board took
    of that. Whatever a lag delays is in it."""
    if idle is None:
        raise ValueError("an extended window needs the power of the idle board")
    long = Span(begin_ns=span.begin_ns, end_ns=span.end_ns + plan.settle_ns)
    energy = energy_uj(trace, long) - idle.power_mw * plan.settle_ns * UJ_PER_MW_NS
    step_mw = abs(energy / (span.duration_ns * UJ_PER_MW_NS) - idle.power_mw)
    lag_ns = 0.0 if trace.counter_uj.size else description.lag_s * SECOND_NS
    left = step_mw * lag_ns * math.exp(-plan.settle_ns / lag_ns) if lag_ns > 0 else 0.0
    between_readings = step_mw * period_ns(description) / math.sqrt(6)
    return WindowEnergy(
        energy_uj=energy,
        edges_uj=math.hypot(left, between_readings, idle.u_mw * plan.settle_ns) * UJ_PER_MW_NS,
        # Both edges lie in idle time, where a shift by less than the settling time costs nothing.
        alignment_uj=step_mw * max(alignment_ns - plan.settle_ns / GUARD, 0.0) * UJ_PER_MW_NS,
    )
