"""What the idle board takes, from before and after the windows: pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgemeter_agent.energy.integrate import Span, mean_mw, within
from edgemeter_agent.energy.trace import Trace
from edgemeter_agent.energy.uncertainty import batch_means, combined, rectangular, resolution_mw
from edgemeter_agent.energy.window_energy import Idle


@dataclass(frozen=True, kw_only=True)
class SeenIdle:
    """`mean` is that of before and after, where there are both; `drift_mw` is after less before, None where
    there is only one."""

    mean: Idle
    before_mw: float | None
    after_mw: float | None

    @property
    def drift_mw(self) -> float | None:
        if self.before_mw is None or self.after_mw is None:
            return None
        return self.after_mw - self.before_mw


def see_idle(trace: Trace, spans: Sequence[Span | None], step_mw: float) -> SeenIdle | None:
    """`spans` are before and after; None where there was none, or no reading in it. None for neither.

    A linear drift leaves the mean of before and after alone. Where idle was anywhere between the two while
    the windows ran, that mean is off by |after - before| / sqrt(12).
    """
    means: list[float | None] = []
    noise, readings = [], []
    for span in spans:
        powers = within(trace, span).total_mw if span is not None else None
        try:
            mean = None if span is None or powers is None or not powers.size else mean_mw(trace, span)
        except ValueError:
            mean = None  # a counter that was read once
        means.append(mean)
        if mean is not None and powers is not None:
            noise.append(batch_means(powers))
            readings.append(powers)
    known = [mean for mean in means if mean is not None]
    if not known:
        return None
    before, after = means
    drift = 0.0 if before is None or after is None else after - before
    u_mw = math.hypot(combined(noise).u / len(known), rectangular(drift), resolution_mw(step_mw, readings))
    return SeenIdle(mean=Idle(power_mw=sum(known) / len(known), u_mw=u_mw), before_mw=before, after_mw=after)
