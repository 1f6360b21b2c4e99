"""Measurement plans: the profiles by name, and a plan with every number resolved.

Both sides resolve plans: the coordinator for a study, the agent for a measurement of its own.

What a plan consists of goes by the names of the message Plan, in plan files, on command lines and in the SDK
alike: `blocks=6`, `target_qps=50`. Three things are friendlier than the message:

- A duration goes by its name without `_ns`, with a unit: `idle_duration="10s"`, `deadline="1h30m"`.
- The block's own numbers and the sustained load have short names: `min_queries`, `min_duration`, `sustain`.
- The scenario goes by its name: "single-stream", "multi-stream", "offline", "server".
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from edgemeter_protos.durations import format_duration, parse_duration
from edgemeter_protos.v1 import plan_pb2

Value = int | float | str | Sequence[int]
"""Of a plan's field, a bool among the int."""

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS

SCENARIOS: dict[str, plan_pb2.Scenario.ValueType] = {
    "single-stream": plan_pb2.SCENARIO_SINGLE_STREAM,
    "multi-stream": plan_pb2.SCENARIO_MULTI_STREAM,
    "offline": plan_pb2.SCENARIO_OFFLINE,
    "server": plan_pb2.SCENARIO_SERVER,
}

_COMMON: dict[str, Value] = {
    "scenario": "single-stream",
    "threads": 1,
    "max_voided_blocks": 4,
    "quality_samples": 0,
    "seed": 0,
    # MLPerf Tiny and design's warm-up: both a count, for slow models, and a time, for fast ones and for the
    # frequency governor.
    "warmup_min_queries": 10,
    "batch_size": 1,
    "target_qps": 0.0,
    "latency_bound_ns": 0,
    # LoadGen's bound for a server.
    "latency_bound_percent": 99.0,
    "affinity_cpus": (),
    "accelerator": "",
    "require_energy": False,
    "meter": "",
    "sustain_duration_ns": 0,
}

PROFILES: dict[str, dict[str, int]] = {
    # Seconds: does it run, and roughly how fast. One process, so its interval says nothing of what differs
    # between processes.
    "quick": {
        "processes": 1,
        "blocks": 4,
        "block_min_queries": 64,
        "block_min_duration_ns": 250_000_000,
        "warmup_min_duration_ns": 250_000_000,
        "deadline_ns": 10 * MINUTE_NS,
        "settle_timeout_ns": 5 * SECOND_NS,
        "energy_windows": 3,
        "energy_window_min_duration_ns": 2 * SECOND_NS,
        "idle_duration_ns": 2 * SECOND_NS,
        "profiled_queries": 0,
        "cold_starts": 0,
    },
    # At least 1,200 queries: more than the 662 that LoadGen's early stopping wants for a 99th percentile.
    "standard": {
        "processes": 3,
        "blocks": 4,
        "block_min_queries": 100,
        "block_min_duration_ns": 500_000_000,
        "warmup_min_duration_ns": 500_000_000,
        "deadline_ns": 60 * MINUTE_NS,
        "settle_timeout_ns": 60 * SECOND_NS,
        "energy_windows": 5,
        "energy_window_min_duration_ns": 10 * SECOND_NS,
        "idle_duration_ns": 10 * SECOND_NS,
        "profiled_queries": 20,
        "cold_starts": 2,
    },
    # 5 processes x 8 blocks x 15 s = the 600 s that MLPerf Inference asks of a single-stream run
    # (inference_rules.adoc, "Scenarios"), and 5 x 8 x 64 = 2,560 queries, of which 662 would do for a 99th
    # percentile with early stopping.
    "publication": {
        "processes": 5,
        "blocks": 8,
        "block_min_queries": 64,
        "block_min_duration_ns": 15 * SECOND_NS,
        "warmup_min_duration_ns": 500_000_000,
        "max_voided_blocks": 10,
        "deadline_ns": 12 * 60 * MINUTE_NS,
        "settle_timeout_ns": 5 * MINUTE_NS,
        "energy_windows": 5,
        "energy_window_min_duration_ns": 60 * SECOND_NS,
        "idle_duration_ns": 30 * SECOND_NS,
        "profiled_queries": 20,
        "cold_starts": 5,
    },
}

MULTI_STREAM_SAMPLES = 8
"""LoadGen's number of samples in a query of MultiStream."""
SUSTAIN_ROOM = 10
"""A job's own deadline leaves room for so many variants' sustained load, up to a week in all."""
MOST_DEADLINE_NS = 7 * 24 * 60 * MINUTE_NS

_FIELDS: dict[str, FieldDescriptor] = {
    field.name: field for field in plan_pb2.Plan.DESCRIPTOR.fields if field.name != "profile"
}
_SHORT = {
    "min_queries": "block_min_queries",
    "min_duration": "block_min_duration_ns",
    "sustain": "sustain_duration_ns",
}
_WITHOUT_UNIT = {name.removesuffix("_ns"): name for name in _FIELDS if name.endswith("_ns")}
_NAMES = sorted({*_FIELDS, *_SHORT, *_WITHOUT_UNIT})

_UINT32_MAX = 2**32 - 1
_UINT64_MAX = 2**64 - 1
_AT_LEAST_ONE = frozenset(
    (
        *("threads", "processes", "blocks", "block_min_queries", "deadline_ns", "batch_size"),
        *("samples_per_query", "energy_window_min_duration_ns"),
    )
)
_MOST: dict[str, int] = {"batch_size": 65_536, "samples_per_query": 65_536}
_LEAST_QPS, _MOST_QPS = 0.001, 1e6
_LEAST_PERCENT, _MOST_PERCENT = 50.0, 99.99
_MOST_CPU = 1023
_MOST_CHARACTERS = 512


def resolve(profile: str, /, **overrides: Value) -> plan_pb2.Plan:
    """The plan of `profile` with single numbers replaced by name (`block_min_queries=500`, `sustain="10m"`,
    `scenario="server"`).

    Raises ValueError, with a line for the user, for a profile or a name that does not exist, for a value that
    cannot be measured by (no block, no query, no thread), does not fit its field or is of another type, and
    for values that contradict each other.
    """
    if profile not in PROFILES:
        raise ValueError(f"no profile is called {profile!r}; there are {', '.join(PROFILES)}")
    given = normalized(overrides)
    values: dict[str, Any] = {**_COMMON, **PROFILES[profile], **given}
    if "samples_per_query" not in given:
        values["samples_per_query"] = MULTI_STREAM_SAMPLES if values["scenario"] == "multi-stream" else 1
    if "deadline_ns" not in given:
        longer = values["deadline_ns"] + SUSTAIN_ROOM * values["sustain_duration_ns"]
        values["deadline_ns"] = max(min(longer, MOST_DEADLINE_NS), values["deadline_ns"])
    contradiction = _contradiction(values)
    if contradiction:
        raise ValueError(contradiction)
    scenario = SCENARIOS[values.pop("scenario")]
    return plan_pb2.Plan(profile=profile, scenario=scenario, **values)


def scenario_name(scenario: plan_pb2.Scenario.ValueType) -> str:
    """As users write it; single-stream where none is given. Raises ValueError for one that is not known
    here."""
    for name, number in SCENARIOS.items():
        if number == (scenario or plan_pb2.SCENARIO_SINGLE_STREAM):
            return name
    raise ValueError(f"no scenario has number {scenario} here; update edgemeter")


def normalized(overrides: Mapping[str, object]) -> dict[str, Value]:
    """The same by the names of the message Plan, durations in ns, each checked by itself; the scenario stays
    a name. Raises ValueError, a line for the user."""
    found: dict[str, Value] = {}
    named_before: dict[str, str] = {}
    for name, value in overrides.items():
        field, checked = _field_of(name, value)
        if field in found:
            raise ValueError(f"{named_before[field]} and {name} are the same: give one of them")
        found[field], named_before[field] = checked, name
    return found


def _field_of(name: str, value: object) -> tuple[str, Value]:
    if name in _FIELDS:
        return name, _checked(name, value)
    field = _SHORT.get(name) or _WITHOUT_UNIT.get(name)
    if field is None:
        near = difflib.get_close_matches(name[:100], _NAMES, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(sorted(_FIELDS))}"
        raise ValueError(f"a plan has nothing called {shown(name)}{hint}")
    if not field.endswith("_ns"):
        return field, _checked(field, value, name)
    if not isinstance(value, str):
        raise ValueError(f"{name} is a duration with a unit, as in 10m, 2s or 250ms, not {shown(value)}")
    try:
        return field, _checked(field, parse_duration(value), name)
    except ValueError as error:
        told = str(error)
        raise ValueError(told if told.startswith(name) else f"{name}: {told}") from None


def _checked(field: str, value: object, name: str = "") -> Value:
    """A value of the field's type within its bounds; `name` is what the user called it."""
    name = name or field
    if field == "scenario":
        return _scenario(value)
    if field == "affinity_cpus":
        return _cpus(value)
    kind = _FIELDS[field].cpp_type
    if kind == FieldDescriptor.CPPTYPE_STRING:
        return _text(name, value)
    if kind == FieldDescriptor.CPPTYPE_BOOL:
        if not isinstance(value, bool):
            raise ValueError(f"{name} is true or false, not {shown(value)}")
        return value
    if kind == FieldDescriptor.CPPTYPE_DOUBLE:
        return _real(field, value)
    return _whole(field, name, value, _UINT32_MAX if kind == FieldDescriptor.CPPTYPE_UINT32 else _UINT64_MAX)


def _whole(field: str, name: str, value: object, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        unit = "; with a unit it is called " + field.removesuffix("_ns") if field.endswith("_ns") else ""
        raise ValueError(f"{name} is a whole number, not {shown(value)}{unit}")
    least, most = 1 if field in _AT_LEAST_ONE else 0, _MOST.get(field, most)
    if not least <= value <= most:
        raise ValueError(f"{name} is {shown(value)}; it must be from {least} to {most}")
    return value


def _real(field: str, value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError(f"{field} is a number, not {shown(value)}")
    if field == "target_qps":
        # `not … <= …` refuses what is no number too.
        if value != 0 and not _LEAST_QPS <= value <= _MOST_QPS:
            raise ValueError(
                f"target_qps is {shown(value)}; it must be from {_LEAST_QPS:g} to {_MOST_QPS:.0f}, or 0"
            )
    elif not _LEAST_PERCENT <= value <= _MOST_PERCENT:
        raise ValueError(
            f"{field} is {shown(value)}; it must be from {_LEAST_PERCENT:g} to {_MOST_PERCENT:g}"
        )
    return float(value)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{name} is a name, not {shown(value)}")
    if len(value) > _MOST_CHARACTERS or not value.isprintable():
        raise ValueError(
            f"{name} is {shown(value)}; at most {_MOST_CHARACTERS} printable characters make a name"
        )
    return value


def _scenario(value: object) -> str:
    if not isinstance(value, str) or value not in SCENARIOS:
        near = difflib.get_close_matches(value[:100], SCENARIOS, n=1) if isinstance(value, str) else []
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(SCENARIOS)}"
        raise ValueError(f"no scenario is called {shown(value)}{hint}")
    return value


def _cpus(value: object) -> tuple[int, ...]:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"affinity_cpus is a list of processors' numbers, as in [0, 1], not {shown(value)}")
    for number, cpu in enumerate(value):
        if not isinstance(cpu, int) or isinstance(cpu, bool) or not 0 <= cpu <= _MOST_CPU:
            raise ValueError(f"affinity_cpus has {shown(cpu)}; processors are numbered from 0 to {_MOST_CPU}")
        if cpu in value[:number]:
            raise ValueError(f"affinity_cpus has processor {cpu} twice")
    return tuple(value)


def parse_cpus(text: str) -> list[int]:
    """Processors as people write them: "0,2-3" is [0, 2, 3], in rising order. Raises ValueError, one line."""
    cpus: set[int] = set()
    for part in text.split(","):
        parsed = re.fullmatch(r"\s*([0-9]{1,4})(?:-([0-9]{1,4}))?\s*", part)
        if parsed is None:
            raise ValueError(f"--affinity is {shown(text)}, which names no processors: write 2-3 or 0,2")
        first, last = int(parsed[1]), int(parsed[2] or parsed[1])
        if last < first:
            raise ValueError(f"--affinity is {shown(text)}: {part.strip()} runs backwards")
        cpus.update(range(first, last + 1))
    return sorted(cpus)


def _contradiction(plan: Mapping[str, Any]) -> str | None:
    """What values that are fine by themselves can't do together, in one line; None where there is nothing."""
    found = (
        _scenario_contradiction(plan, plan["scenario"]),
        _energy_contradiction(plan),
        plan["affinity_cpus"]
        and plan["threads"] > len(plan["affinity_cpus"])
        and f"threads is {plan['threads']}, and affinity_cpus has {len(plan['affinity_cpus'])}: threads that"
        " wait for each other measure nothing",
        plan["sustain_duration_ns"] >= plan["deadline_ns"]
        and f"sustain is {format_duration(plan['sustain_duration_ns'])}, and the job's deadline"
        f" {format_duration(plan['deadline_ns'])}: it would be killed before",
    )
    return next((told for told in found if told), None)


def _scenario_contradiction(plan: Mapping[str, Any], scenario: str) -> str | None:
    if scenario == "server":
        if plan["batch_size"] > 1:
            return f"batch_size is {plan['batch_size']}, and a server's queries come one by one: it must be 1"
        if not (plan["target_qps"] or plan["latency_bound_ns"]):
            return "a server needs target_qps, or latency_bound to look for the highest rate under it"
    else:
        for name in ("target_qps", "latency_bound_ns"):
            if plan[name]:
                friendly = name.removesuffix("_ns")
                return f"{friendly} is for the scenario server, and this one is {scenario}"
    if scenario == "multi-stream":
        if plan["batch_size"] > plan["samples_per_query"]:
            return (
                f"batch_size is {plan['batch_size']}, and a query has {plan['samples_per_query']} samples:"
                " the rest of each batch would be computed for nothing"
            )
    elif plan["samples_per_query"] > 1:
        return f"samples_per_query is for the scenario multi-stream, and this one is {scenario}"
    return None


def _energy_contradiction(plan: Mapping[str, Any]) -> str | None:
    if plan["require_energy"] and not plan["energy_windows"]:
        return "require_energy is set, and energy_windows is 0: no energy would be measured"
    if plan["meter"] and not (plan["energy_windows"] or plan["sustain_duration_ns"]):
        return f"meter is {shown(plan['meter'])}, and energy_windows is 0: it would not be read"
    return None


def shown(value: object) -> str:
    """Shortened: it comes from users, who may have pasted anything."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of more digits than Python writes
        return "too large a number"
    return text if len(text) <= 60 else text[:57] + "…"
