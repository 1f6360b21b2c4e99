"""Plan, latency, throughput and what else is a time, as an export has them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgemeter_protos import plans
from edgemeter_protos.report.absent import Exported, all_present, interval, non_zero, present, taken
from edgemeter_protos.v1 import plan_pb2, result_pb2

SCENARIOS: Mapping[int, str] = {number: name for name, number in plans.SCENARIOS.items()}
OUTCOMES: Mapping[int, str] = {
    result_pb2.OUTCOME_FASTER: "faster",
    result_pb2.OUTCOME_SLOWER: "slower",
    result_pb2.OUTCOME_CANNOT_TELL: "cannot_tell",
}

LATENCY_NUMBERS = ("p50_ns", "p90_ns", "p99_ns", "mean_ns", "min_ns", "max_ns")
_LATER_LATENCY_NUMBERS = ("max_ns",)
"""What earlier agents did not say: 0 is absent."""
SERVING_NUMBERS = (
    "target_qps",
    "achieved_qps",
    "queueing_p50_ns",
    "queueing_p99_ns",
    "most_in_flight",
)
COLD_NUMBERS = ("load_ns", "first_inference_ns", "processes", "load_max_ns", "first_inference_max_ns")
SUSTAINED_NUMBERS = ("duration_ns", "first_p50_ns", "last_p50_ns")
POINT_NUMBERS = ("at_ns", "queries")
POINT_READINGS = ("frequency_hz", "temperature_millicelsius", "power_mw")

_FREE_PLAN_NUMBERS = ("target_qps", "latency_bound_ns", "latency_bound_percent")
"""Of a plan: 0 is "none asked for"."""


def plan(one: plan_pb2.Plan) -> Exported | None:
    """Every number that the result was measured by; None where nothing was."""
    if not one.profile:
        return None
    numbers: Exported = {}
    for field in one.DESCRIPTOR.fields:
        value: Any = getattr(one, field.name)
        numbers[field.name] = value if isinstance(value, bool | int | float | str) else list(value)
    numbers["scenario"] = SCENARIOS.get(one.scenario)
    # An earlier edgemeter knew no other.
    numbers["batch_size"] = one.batch_size or 1
    numbers["samples_per_query"] = one.samples_per_query or 1
    numbers["accelerator"] = one.accelerator or None
    numbers["meter"] = one.meter or None
    for name in _FREE_PLAN_NUMBERS:
        numbers[name] = numbers[name] or None
    return numbers


def latency(result: result_pb2.Result) -> Exported:
    one = result.latency
    timed = one.samples > 0
    numbers = taken(one, LATENCY_NUMBERS, there=timed)
    for name in _LATER_LATENCY_NUMBERS:
        numbers[name] = numbers[name] or None
    return {
        "scenario": SCENARIOS.get(one.scenario or result.plan.scenario),
        "n": one.samples or None,
        "batch_queries": one.batch_queries or None,
        "batch_size": one.batch_size or (1 if timed else None),
        "samples_per_query": one.samples_per_query or (1 if timed else None),
        **numbers,
        "ci95_ns": interval(one.ci95_low_ns, one.ci95_high_ns, there=timed and one.ci95_high_ns > 0),
        "percentiles": [_percentile(each) for each in one.percentiles],
        "outliers": one.outliers if timed else None,
    }


def _percentile(one: result_pb2.Percentile) -> Exported:
    return {
        "percent": one.percent,
        "value_ns": one.value_ns,
        **all_present(one, ("ci95_low_ns", "ci95_high_ns", "early_stopping_ns")),
    }


def throughput(one: result_pb2.Throughput) -> Exported:
    there = one.samples_per_s > 0
    return {
        "samples_per_s": one.samples_per_s or None,
        "ci95": interval(one.ci95_low, one.ci95_high, there=there and one.ci95_high > 0),
    }


def serving(result: result_pb2.Result) -> Exported:
    """What a server's queries waited for; all None in other scenarios."""
    one, there = result.serving, result.HasField("serving")
    return {
        **taken(one, SERVING_NUMBERS, there=there),
        **all_present(one, ("bound_held", "highest_qps")),
        "probes": [
            taken(probe, ("target_qps", "achieved_qps", "latency_ns", "held"), there=True)
            for probe in one.probes
        ],
    }


def cold(one: result_pb2.Cold) -> Exported:
    return non_zero(one, COLD_NUMBERS)


def comparison(result: result_pb2.Result, recipes: Mapping[str, str]) -> Exported:
    """Against the baseline, whose recipe is in `recipes`, by variant id; all None for the baseline itself."""
    one = result.comparison
    there = result.HasField("comparison") and one.outcome != result_pb2.OUTCOME_UNSPECIFIED
    return {
        "baseline_recipe": recipes.get(one.baseline_variant_id) if there else None,
        "ratio": one.ratio if there else None,
        "ci95": interval(one.ci95_low, one.ci95_high, there=there and one.ci95_high > 0),
        "p_value": one.p_value if there else None,
        "outcome": OUTCOMES.get(one.outcome) if there else None,
        "pairs": one.pairs if there else None,
    }


def sustained(result: result_pb2.Result) -> Exported:
    """How the model did without a pause; all None where the plan did not ask."""
    one, there = result.sustained, result.HasField("sustained")
    return {
        **taken(one, SUSTAINED_NUMBERS, there=there),
        "slowed_after_ns": present(one, "slowed_after_ns"),
        "slowed_because": one.slowed_because or None,
        "points": [_point(each) for each in one.points],
    }


def _point(one: result_pb2.SustainedPoint) -> Exported:
    queried = one.queries > 0
    return {
        **taken(one, POINT_NUMBERS, there=True),
        **taken(one, ("p50_ns", "p99_ns"), there=queried),
        **all_present(one, POINT_READINGS),
        "throttled": one.throttled,
    }


def operators(result: result_pb2.Result) -> Exported:
    """Each operator's time, the slowest first."""
    one, there = result.operators, result.HasField("operators")
    measured = there and not one.unavailable and one.queries > 0
    return {
        "unavailable": one.unavailable or None,
        "source": one.source or None,
        **taken(one, ("queries", "query_ns"), there=measured),
        "operators": [
            {
                "name": each.name,
                "kind": each.kind,
                **taken(each, ("calls_per_query", "ns_per_query", "share"), there=True),
                "ran_on": each.ran_on or None,
            }
            for each in one.operators
        ],
    }
