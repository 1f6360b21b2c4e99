"""Traces for tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edgemeter_agent.energy.integrate import Span
from edgemeter_agent.energy.trace import Trace
from edgemeter_agent.meters import MODULE, Description, Rail

MS, SECOND = 1_000_000, 1_000_000_000

METER = Description(
    name="bench",
    kind="bench",
    coverage=MODULE,
    rails=(Rail(name="total", in_total=True),),
    rate_hz=50.0,
    resolution_mw=0.0,
    gain_error=0.0,
    offset_error_mw=0.0,
    lag_s=0.0,
    has_counter=False,
    detail="a test",
)


def meter(**changed: Any) -> Description:
    return replace(METER, **changed)


def seconds(begin: float, end: float) -> Span:
    return Span(begin_ns=round(begin * SECOND), end_ns=round(end * SECOND))


def trace_from(
    power_mw: Callable[[npt.NDArray[np.float64]], npt.ArrayLike],
    until_s: float,
    rate_hz: float = 50.0,
    counter: bool = False,
) -> Trace:
    """Readings of a function of time in s, at a steady pace from 0 on. A counter counts it exactly, as far as
    the trapezoidal rule at 100 times the pace does."""
    times = np.arange(int(until_s * rate_hz) + 1) / rate_hz
    power = np.broadcast_to(np.asarray(power_mw(times), np.float64), times.shape).copy()
    counted = np.zeros(0)
    if counter:
        fine = np.arange(int(until_s * rate_hz) * 100 + 1) / (rate_hz * 100)
        values = np.broadcast_to(np.asarray(power_mw(fine), np.float64), fine.shape)
        steps = (values[1:] + values[:-1]) / 2 * (1000 / (rate_hz * 100))
        counted = np.concatenate(([0.0], np.cumsum(steps)))[::100]
    return Trace(
        monotonic_ns=np.round(times * SECOND).astype(np.int64),
        total_mw=power,
        rails_mw=power[:, None].copy(),
        counter_uj=counted,
    )


def without(trace: Trace, span: Span) -> Trace:
    """A hole: the readings within the span are missing."""
    return only(trace, (trace.monotonic_ns < span.begin_ns) | (trace.monotonic_ns > span.end_ns))


def only(trace: Trace, kept: npt.NDArray[Any]) -> Trace:
    return replace(
        trace,
        monotonic_ns=trace.monotonic_ns[kept],
        total_mw=trace.total_mw[kept],
        rails_mw=trace.rails_mw[kept],
        counter_uj=trace.counter_uj[kept] if trace.counter_uj.size else trace.counter_uj,
    )


def with_totals(trace: Trace, total_mw: npt.NDArray[np.float64]) -> Trace:
    return replace(trace, total_mw=total_mw, rails_mw=total_mw[:, None].copy())
