"""What was seen where blocks were voided, in words: for each reason the worst block's numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edgemeter_agent.conditions import judge
from edgemeter_agent.conditions.blocks import SeenBlock
from edgemeter_agent.conditions.judge import Machine, grown, shares

Say = Callable[[SeenBlock, Machine], tuple[float, str]]
"""How bad it was, and what was seen."""


def evidence(blocks: Sequence[SeenBlock], machine: Machine) -> dict[str, str]:
    """Pure: reason code -> a few words, for each reason that voided a block and has numbers."""
    seen: dict[str, tuple[float, str]] = {}
    for block in blocks:
        for code in block.void_reasons:
            if code in SAYINGS:
                seen[code] = max(seen.get(code, (-1.0, "")), SAYINGS[code](block, machine))
    return {code: text for code, (_, text) in seen.items()}


def _contention(block: SeenBlock, machine: Machine) -> tuple[float, str]:
    seen = shares(block.before, block.after, machine)
    parts = []
    if seen.others is not None:
        parts.append(f"others used {seen.others:.0%} of the processors' time")
    if seen.longest_delay is not None:
        parts.append(f"the variant waited {seen.longest_delay:.0%} of it")
    elif seen.pressure is not None:
        parts.append(f"something waited {seen.pressure:.0%} of it")
    else:
        switches = grown(block.before, block.after, "involuntary_switches") or 0
        parts.append(f"the processor was taken away {switches} times")
    return (seen.others or 0.0) + (seen.run_delay or 0.0), ", ".join(parts)


def _steal(block: SeenBlock, machine: Machine) -> tuple[float, str]:
    share = shares(block.before, block.after, machine).steal or 0.0
    return share, f"a hypervisor took {share:.0%}"


def _stalled(block: SeenBlock, machine: Machine) -> tuple[float, str]:
    share = shares(block.before, block.after, machine).stalled or 0.0
    why = "stopped, or waiting for a disk"
    return share, f"for {share:.0%} of a block it neither ran nor waited for a processor: {why}"


def _swapped(block: SeenBlock, _: Machine) -> tuple[float, str]:
    rate = judge.swapped_pages_per_s(block.before, block.after)
    return rate, f"{rate:.0f} pages a second were swapped"


def _frequency(block: SeenBlock, _: Machine) -> tuple[float, str]:
    one, other = block.before.frequency_hz / 1e9, block.after.frequency_hz / 1e9
    return abs(one - other), f"{one:.2f} GHz, then {other:.2f} GHz"


def _throttled(block: SeenBlock, _: Machine) -> tuple[float, str]:
    events = grown(block.before, block.after, "throttle_events")
    if events:
        return events, f"{events} over-current events"
    return _bits(block, _)


def _bits(block: SeenBlock, _: Machine) -> tuple[float, str]:
    bits = block.before.throttled_bits | block.after.throttled_bits
    return bits.bit_count(), f"get_throttled 0x{bits:x}"


def _accelerator(block: SeenBlock, machine: Machine) -> tuple[float, str]:
    count, known = block.after.accelerator_users, machine.accelerator_users or 0
    return count, f"{count} other processes held the accelerator, {known} when the job began"


def _text(field: str) -> Say:
    def say(block: SeenBlock, _: Machine) -> tuple[float, str]:
        return 0.0, f"{getattr(block.before, field)}, then {getattr(block.after, field)}"

    return say


SAYINGS: dict[str, Say] = {
    judge.ACCELERATOR_SHARED: _accelerator,
    judge.CONTENTION: _contention,
    judge.FREQUENCY_CHANGED: _frequency,
    judge.GOVERNOR_CHANGED: _text("governor"),
    judge.POWER_MODE_CHANGED: _text("power_mode"),
    judge.STALLED: _stalled,
    judge.STEAL: _steal,
    judge.SWAPPED: _swapped,
    judge.THROTTLED: _throttled,
    judge.UNDER_VOLTAGE: _bits,
}
