"""What the board was like, and how a variant was made: what stands behind the numbers. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgemeter_coordinator.report.page.facts import position
from edgemeter_coordinator.report.page.wording import NOTHING, ranged
from edgemeter_protos.report import onboard, units
from edgemeter_protos.report.absent import Exported
from edgemeter_protos.report.measured import VERDICTS
from edgemeter_protos.v1 import device_pb2, lab_pb2


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """One variant's, as texts."""

    recipe: str
    verdict: str
    # "code: detail"
    reasons: tuple[str, ...]
    blocks: str
    governor: str
    frequency: str
    temperature: str
    throttled: str
    contention: str
    steal: str
    overhead: str
    ran_by: str
    # What changed meanwhile, a clause each.
    notes: tuple[str, ...]
    # What could not be read, and why.
    unreadable: tuple[str, ...]


def conditions(responses: Sequence[lab_pb2.ListResultsResponse]) -> list[Condition]:
    """In the study's order of variants."""
    return [_condition(each) for each in sorted(responses, key=position)]


def _condition(response: lab_pb2.ListResultsResponse) -> Condition:
    result = response.result
    one = onboard.conditions(result.conditions)
    low, high = one["frequency_min_hz"], one["frequency_max_hz"]
    frequency = units.human_hz(low, NOTHING)
    if high not in (None, low):
        frequency = ranged(frequency, units.human_hz(high))
    voided = ", ".join(f"{code} {count}" for code, count in one["void_reasons"].items())
    return Condition(
        recipe=response.manifest.recipe,
        verdict=VERDICTS.get(result.verdict.state, "void"),
        reasons=tuple(
            f"{reason.code}: {reason.detail}" if reason.detail else reason.code
            for reason in result.verdict.reasons
        ),
        blocks=f"{one['blocks_kept']} kept, {one['blocks_voided']} voided"
        + (f" ({voided})" if voided else ""),
        governor=one["governor"] or NOTHING,
        frequency=frequency,
        temperature=units.human_celsius(one["temperature_max_millicelsius"], NOTHING),
        throttled=_throttled(one),
        contention=units.percent(one["contention_share"], NOTHING),
        steal=units.percent(one["steal_share"], NOTHING),
        overhead=units.human_ns(result.harness_overhead_ns or None, NOTHING),
        ran_by=" on ".join(
            filter(None, (f"{result.runtime.name} {result.runtime.version}".strip(), result.runtime.ran_on))
        )
        or NOTHING,
        notes=tuple(one["changes"]),
        unreadable=tuple(f"{each['name']}: {each['detail']}" for each in one["unreadable"]),
    )


def unreadable(every: Sequence[Condition]) -> list[str]:
    """What could not be read on this board, each said once, though all variants met it."""
    return list(dict.fromkeys(text for each in every for text in each.unreadable))


def _throttled(one: Exported) -> str:
    """By the board's own bits or counters, before and after."""
    before, after = one["before"], one["after"]
    if after["throttled_bits"] is not None:
        return "yes" if after["throttled_bits"] & 0xF else "no"
    if before["throttle_events"] is not None and after["throttle_events"] is not None:
        events = after["throttle_events"] - before["throttle_events"]
        return f"{events} events" if events else "no"
    return "can't be told"


def board(device: lab_pb2.Device) -> list[tuple[str, str]]:
    """The device's facts: a word and its value, those that are known."""
    facts = device.facts
    found = [
        ("board", facts.board),
        ("SoC", facts.soc),
        ("architecture", facts.arch + (" (emulated: its timings mean nothing)" if facts.emulated else "")),
        ("processors", str(facts.cpu_count) if facts.cpu_count else ""),
        ("memory", units.human_bytes(facts.memory_bytes) if facts.memory_bytes else ""),
        ("system", ", ".join(filter(None, (facts.os, facts.kernel, facts.libc)))),
        ("agent", " on Python ".join(filter(None, (facts.agent_version, facts.python_version)))),
        ("runtimes", ", ".join(f"{each.name} {each.version}".strip() for each in facts.runtimes)),
        ("meters", ", ".join(_meter(each) for each in facts.meters)),
    ]
    return [(name, value) for name, value in found if value]


def _meter(one: device_pb2.MeterFacts) -> str:
    return f"{one.name} (covers {one.coverage})" if one.coverage else one.name
