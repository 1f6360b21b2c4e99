"""Is a meter elsewhere wired to this board, and are its stamps in time? It must show the load made here."""

from __future__ import annotations

import time
from dataclasses import dataclass

from edgemeter_agent.energy.sampler import Sampler
from edgemeter_agent.meters import Description
from edgemeter_agent.meters.load_step import (
    FOUND_QUALITY,
    PAUSE_PERIODS,
    correlate,
    run_signature,
    step_signature,
)

REMOTE = "remote"
"""The kind that is checked: a meter on the board can be neither another board's nor in another time."""

METER_NOT_WIRED = "meter_not_wired"
METER_LATE = "meter_late"

SPARE_LAG_S = 0.5
"""How much later than it should be a load is looked for."""
LATE_PERIODS = 1.5
"""A step between two readings is seen by the next one; what is later is late."""

Reason = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class LoadStep:
    """What became of the check.

    Attributes:
        void: code and detail where the meter does not show this board's load: it tells nothing of this board.
        degraded: where it does, and later than its description allows.
    """

    lag_ns: int
    quality: float
    void: Reason | None = None
    degraded: Reason | None = None


def check_load_step(
    sampler: Sampler, description: Description, seed: int, alignment_ns: float, late_s: float
) -> LoadStep:
    """Idles, makes bursts of load on one processor, idles, and looks for them in what the sampler took.

    Takes about 5 s at 10 readings a second and more, up to two minutes at one. `late_s`: how long a reading
    may be under way.
    """
    period_s = 1 / description.rate_hz
    max_lag_s = 3 * description.lag_s + LATE_PERIODS * period_s + SPARE_LAG_S
    pause_s = max_lag_s + (PAUSE_PERIODS + 1) * period_s
    time.sleep(pause_s)
    ran = run_signature(step_signature(seed, max(period_s, description.lag_s)))
    time.sleep(pause_s)
    sampler.wait_for(time.monotonic_ns(), late_s)
    lag_ns, quality = correlate(sampler.trace(), ran, max_lag_s)
    return judge_load_step(description, lag_ns, quality, alignment_ns)


def judge_load_step(description: Description, lag_ns: int, quality: float, alignment_ns: float) -> LoadStep:
    """Pure."""
    if quality < FOUND_QUALITY:
        detail = (
            f"{description.name} does not show the load that this board made (correlation {quality:.2f}, and"
            f" {FOUND_QUALITY} is needed): is it wired to this board?"
        )
        return LoadStep(lag_ns=lag_ns, quality=quality, void=(METER_NOT_WIRED, detail))
    allowed_ns = 1e9 * (description.lag_s + LATE_PERIODS / description.rate_hz) + 3 * alignment_ns
    if abs(lag_ns) > allowed_ns:
        detail = (
            f"{description.name} shows this board's load {lag_ns / 1e6:.0f} ms later than it was, and up to"
            f" {allowed_ns / 1e6:.0f} ms are explained: energy at the windows' edges is uncertain"
        )
        return LoadStep(lag_ns=lag_ns, quality=quality, degraded=(METER_LATE, detail))
    return LoadStep(lag_ns=lag_ns, quality=quality)
