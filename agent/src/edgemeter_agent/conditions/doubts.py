"""What speaks against the numbers of a variant though its blocks could be kept: pure, for the verdict.

A doubt degrades. A note does not; it says something that a reader of the numbers should know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from edgemeter_agent.board.supply import PI5_WANTS_MA
from edgemeter_agent.conditions.blocks import SeenBlock
from edgemeter_agent.conditions.judge import (
    ACCELERATOR_SHARED,
    GOVERNOR_CHANGED,
    POWER_MODE_CHANGED,
    Machine,
    far_apart,
    grown,
)
from edgemeter_protos.v1 import result_pb2

BOOST_CHANGED = "boost_changed"
CLOCK_STEPPED = "clock_stepped"
FREQUENCY_VARIED = "frequency_varied"
GOVERNOR_NOT_SET = "governor_not_set"
NEAR_TRIP = "near_trip"
OVER_CURRENT = "over_current"
TEMPERATURE_RAMP = "temperature_ramp"
WEAK_SUPPLY = "weak_supply"

MAX_RAMP_MILLICELSIUS = 10_000
"""Within a block. The board was to have so much left below the temperature at which it slows down when the
job began (settle.COOL_MILLICELSIUS): a block that uses it up has shown no steady state."""
TRIP_MARGIN_MILLICELSIUS = 3_000
"""Two to three degrees are the usual hysteresis of a trip point: nearer, a short peak between two readings
may have reached it."""
MAX_STEP_NS = 50_000_000
MAX_SLEW = 500e-6
"""NTP slews a clock by at most 500 ppm (adjtimex(2)); what goes beyond was a step."""
EVENT_NS = 1_000_000
"""A Jetson's oc3 event: about 1 ms at half clock, as users measured it."""
MAX_EVENTS_SHARE = 0.01
"""Of the kept blocks' duration, slowed down by such events."""


Reason = tuple[str, str]
"""Code and detail, as the verdict has them."""


@dataclass(frozen=True, kw_only=True)
class Doubts:
    degraded: tuple[Reason, ...] = ()
    notes: tuple[Reason, ...] = ()


def doubts(
    blocks: Sequence[SeenBlock],
    machine: Machine,
    setting_before: result_pb2.Snapshot | None = None,
    setting_after: result_pb2.Snapshot | None = None,
    governor_why_not: str | None = None,
) -> Doubts:
    """Over one variant's blocks, kept and voided, in the order in which they were taken.

    The settings are the whole job's. `governor_why_not` is why the governor could not be set, None where it
    was.
    """
    kept = [block for block in blocks if block.kept]
    ends = [end for block in blocks for end in (block.before, block.after)]
    settings = [setting for setting in (setting_before, setting_after) if setting is not None]
    varied = _varied(kept)
    degraded = [
        *_changed(ends, settings),
        *_heat(kept, machine),
        *_accelerator(settings, machine),
    ]
    notes = [*_clock_stepped(blocks), *_supply(settings)]
    if governor_why_not is not None and any(end.governor for end in ends):
        where = degraded if varied else notes
        where.append((GOVERNOR_NOT_SET, governor_why_not + (f"; {varied}" if varied else "")))
    elif varied:
        degraded.append((FREQUENCY_VARIED, varied))
    events = _over_current(kept)
    if events is not None:
        (degraded if events[0] else notes).append((OVER_CURRENT, events[1]))
    return Doubts(degraded=tuple(degraded), notes=tuple(notes))


def changed_texts(ends: Sequence[result_pb2.Snapshot]) -> dict[str, str]:
    """Reason code -> "power mode 25W, then 15W", for what is not the same at all of these moments."""
    boosts = [("on" if end.boost else "off") for end in ends if end.HasField("boost")]
    seen = {
        POWER_MODE_CHANGED: ("power mode", [end.power_mode for end in ends if end.power_mode]),
        GOVERNOR_CHANGED: ("governor", [end.governor for end in ends if end.governor]),
        BOOST_CHANGED: ("boost", boosts),
    }
    return {
        code: f"{what} {', then '.join(_turns(values))}"
        for code, (what, values) in seen.items()
        if len(set(values)) > 1
    }


def _turns(values: Sequence[str], most: int = 4) -> list[str]:
    """Without repetitions of the one before, and no more than anybody reads."""
    turns = [value for n, value in enumerate(values) if n == 0 or value != values[n - 1]]
    return turns if len(turns) <= most else [*turns[: most - 1], "…"]


def _changed(
    ends: Sequence[result_pb2.Snapshot], settings: Sequence[result_pb2.Snapshot]
) -> Iterator[Reason]:
    # The governor is set between the job's settings and its blocks: only the blocks tell.
    without_governor = []
    for setting in settings:
        bare = result_pb2.Snapshot()
        bare.CopyFrom(setting)
        bare.governor = ""
        without_governor.append(bare)
    yield from changed_texts([*without_governor[:1], *ends, *without_governor[1:]]).items()


def _heat(kept: Sequence[SeenBlock], machine: Machine) -> Iterator[Reason]:
    ramps = [(abs(change), zone, change) for block in kept for zone, change in _changes(block)]
    ramp, zone, change = max(ramps, default=(0, "", 0))
    if ramp > MAX_RAMP_MILLICELSIUS:
        count = len([block for block in kept if _ramped(block)])
        how = f"{'rose' if change > 0 else 'fell'} by {ramp / 1000:.1f} °C within a block"
        told = f"{zone} {how}, in {count} of {len(kept)} blocks: a longer warm-up shows a steady state"
        yield TEMPERATURE_RAMP, told
    near = [
        (machine.trips_millicelsius[zone] - hot, zone, hot)
        for block in kept
        for end in (block.before, block.after)
        for zone, hot in end.zones_millicelsius.items()
        if zone in machine.trips_millicelsius
    ]
    room, zone, hot = min(near, default=(TRIP_MARGIN_MILLICELSIUS + 1, "", 0))
    if room <= TRIP_MARGIN_MILLICELSIUS:
        trip = machine.trips_millicelsius[zone]
        yield NEAR_TRIP, f"{zone} reached {hot / 1000:.1f} °C; at {trip / 1000:.0f} °C the board slows down"


def _ramped(block: SeenBlock) -> bool:
    return any(abs(change) > MAX_RAMP_MILLICELSIUS for _, change in _changes(block))


def _changes(block: SeenBlock) -> list[tuple[str, int]]:
    before, after = block.before.zones_millicelsius, block.after.zones_millicelsius
    return [(zone, after[zone] - before[zone]) for zone in before if zone in after]


def _varied(kept: Sequence[SeenBlock]) -> str:
    """Blocks at clocks far apart mix two boards; empty where they don't."""
    clocks = [end.frequency_hz for block in kept for end in (block.before, block.after) if end.frequency_hz]
    if not clocks or not far_apart(min(clocks), max(clocks)):
        return ""
    return f"the clock was between {min(clocks) / 1e9:.2f} and {max(clocks) / 1e9:.2f} GHz"


def _accelerator(settings: Sequence[result_pb2.Snapshot], machine: Machine) -> Iterator[Reason]:
    users = max((setting.accelerator_users for setting in settings), default=0)
    if machine.uses_accelerator and users:
        told = f"{users} other processes held the accelerator, as a desktop does; what they did is not known"
        yield ACCELERATOR_SHARED, told


def _over_current(kept: Sequence[SeenBlock]) -> tuple[bool, str] | None:
    """Whether it weighs, and what was seen."""
    events = sum(grown(block.before, block.after, "current_events") or 0 for block in kept)
    if not events:
        return None
    duration_ns = sum(max(block.after.monotonic_ns - block.before.monotonic_ns, 0) for block in kept)
    share = events * EVENT_NS / max(duration_ns, 1)
    return share > MAX_EVENTS_SHARE, f"{events} oc3 events, about {share:.1%} of the time at a lower clock"


def _clock_stepped(blocks: Sequence[SeenBlock]) -> Iterator[Reason]:
    ends = [
        end for block in blocks for end in (block.before, block.after) if end.HasField("realtime_offset_ns")
    ]
    for one, other in pairwise(ends):
        step_ns = other.realtime_offset_ns - one.realtime_offset_ns
        slewed_ns = MAX_SLEW * abs(other.monotonic_ns - one.monotonic_ns)
        if abs(step_ns) > MAX_STEP_NS + slewed_ns:
            told = f"the clock of the day was set by {step_ns / 1e9:+.3f} s; times are of the monotonic clock"
            yield CLOCK_STEPPED, told
            return


def _supply(settings: Sequence[result_pb2.Snapshot]) -> Iterator[Reason]:
    known = [setting.supply_max_ma for setting in settings if setting.HasField("supply_max_ma")]
    if known and min(known) < PI5_WANTS_MA:
        yield WEAK_SUPPLY, f"the supply gives {min(known)} mA; a Raspberry Pi 5 wants {PI5_WANTS_MA}"
