"""Measurement plans: the profiles by name, and a plan with every number resolved.

Both sides resolve plans: the coordinator for a study, the agent for a measurement of its own.
"""

from __future__ import annotations

import difflib

from edgemeter_protos.v1 import plan_pb2

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS

_COMMON = {
    "threads": 1,
    "max_voided_blocks": 4,
    "quality_samples": 0,
    "seed": 0,
    # MLPerf Tiny and design's warm-up: both a count, for slow models, and a time, for fast ones and for the
    # frequency governor.
    "warmup_min_queries": 10,
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
    },
}

_AT_LEAST_ONE = ("threads", "processes", "blocks", "block_min_queries", "deadline_ns")
_UINT32_MAX = 2**32 - 1
_UINT64_MAX = 2**64 - 1


def resolve(profile: str, /, **overrides: int) -> plan_pb2.Plan:
    """The plan of `profile` with single numbers replaced by name (`block_min_queries=500`).

    Raises ValueError, with a line for the user, for a profile or a number that does not exist, and for a
    value that cannot be measured by (no block, no query, no thread) or does not fit its field.
    """
    if profile not in PROFILES:
        raise ValueError(f"no profile is called {profile!r}; there are {', '.join(PROFILES)}")
    numbers = {**_COMMON, **PROFILES[profile]}
    for name, value in overrides.items():
        if name not in numbers:
            near = difflib.get_close_matches(name, numbers, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; it has {', '.join(sorted(numbers))}"
            raise ValueError(f"a plan has no number called {name!r}{hint}")
        _check(name, value)
        numbers[name] = value
    return plan_pb2.Plan(profile=profile, scenario=plan_pb2.SCENARIO_SINGLE_STREAM, **numbers)


def _check(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{name} is a whole number, not {value!r}")
    least = 1 if name in _AT_LEAST_ONE else 0
    most = _UINT64_MAX if name.endswith("_ns") or name in ("seed", "quality_samples") else _UINT32_MAX
    if not least <= value <= most:
        raise ValueError(f"{name} is {value}; it must be from {least} to {most}")
