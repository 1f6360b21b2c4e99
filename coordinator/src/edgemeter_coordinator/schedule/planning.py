"""What a new study takes: variants to build or to reuse, runtimes that its devices must have, and the
bounds of its measurement plan. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from edgemeter_protos.v1 import device_pb2, plan_pb2, variant_pb2

SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS

# Inclusive bounds. The upper ones stop a mistyped plan from holding a board for days; the lower ones are
# what the engine needs to give any number at all.
PLAN_BOUNDS: Mapping[str, tuple[float, float]] = {
    "threads": (1, 256),
    "processes": (1, 100),
    "blocks": (1, 1_000),
    "block_min_queries": (1, 1_000_000),
    "block_min_duration_ns": (0, HOUR_NS),
    "warmup_min_queries": (0, 1_000_000),
    "warmup_min_duration_ns": (0, HOUR_NS),
    "max_voided_blocks": (0, 1_000),
    "quality_samples": (0, 100_000_000),
    "deadline_ns": (SECOND_NS, 7 * 24 * HOUR_NS),
    "settle_timeout_ns": (0, 24 * HOUR_NS),
    "batch_size": (1, 65_536),
    "samples_per_query": (1, 65_536),
    "target_qps": (0, 1_000_000),
    "latency_bound_ns": (0, HOUR_NS),
    "latency_bound_percent": (0, 99.99),
    "energy_windows": (0, 1_000),
    "energy_window_min_duration_ns": (0, HOUR_NS),
    "idle_duration_ns": (0, HOUR_NS),
    "sustain_duration_ns": (0, 24 * HOUR_NS),
    "profiled_queries": (0, 100_000),
    "cold_starts": (0, 1_000),
}
SCENARIOS = (
    plan_pb2.SCENARIO_SINGLE_STREAM,
    plan_pb2.SCENARIO_MULTI_STREAM,
    plan_pb2.SCENARIO_OFFLINE,
    plan_pb2.SCENARIO_SERVER,
)
NAME_CHARACTERS = 512
"""Of an accelerator or a meter."""
MOST_CPUS = 1024
PROFILES = ("quick", "standard", "publication")


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedVariant:
    """One variant of a study to be."""

    variant_id: str
    recipe: str
    # Built already: nothing to do.
    reused: bool
    # Its row is to be made, or to be put back to waiting after a failure. Neither this nor reused: another
    # study is having it built.
    build: bool


def plan_variants(wanted: Sequence[tuple[str, str]], states: Mapping[str, str]) -> list[PlannedVariant]:
    """What becomes of each (variant id, recipe) that a study wants, in their order.

    `states` has the states of the variants that exist. One that failed is tried again: what made it fail
    (memory, a full disk, a killed worker) may be gone.
    """
    return [
        PlannedVariant(
            variant_id=variant_id,
            recipe=recipe,
            reused=states.get(variant_id) == "ready",
            build=states.get(variant_id) in (None, "failed"),
        )
        for variant_id, recipe in wanted
    ]


def can_run(
    requirements: Iterable[variant_pb2.RuntimeRequirement], runtimes: Iterable[device_pb2.RuntimeFacts]
) -> bool:
    """Whether any of `runtimes` meets any of `requirements`."""
    installed = list(runtimes)
    return any(meets(runtime, requirement) for requirement in requirements for runtime in installed)


def unrunnable(
    recipe: str,
    requirements: Sequence[variant_pb2.RuntimeRequirement],
    device_name: str,
    runtimes: Sequence[device_pb2.RuntimeFacts],
) -> str | None:
    """Why no runtime of a device can run a recipe's variants, in one line; None where one can.

    A study is refused then, rather than quietly narrowed: a table with a hole in it compares nothing.
    """
    if can_run(requirements, runtimes):
        return None
    needed = " or ".join(_named(requirement) for requirement in requirements)
    there = ", ".join(f"{runtime.name} {runtime.version}" for runtime in runtimes) or "none"
    return (
        f"{device_name} has no runtime for {recipe}: it needs {needed}, the board has {there}; "
        "install one there, or leave out that recipe or that device"
    )


def plan_problem(plan: plan_pb2.Plan) -> str | None:
    """What is wrong with a measurement plan, in one line; None where nothing is."""
    if plan.profile not in PROFILES:
        return f"the plan's profile is {plan.profile!r}: it must be one of {', '.join(PROFILES)}"
    if plan.scenario not in SCENARIOS:
        return f"the plan's scenario is {plan.scenario}: this coordinator does not know it"
    for field, (low, high) in PLAN_BOUNDS.items():
        value = getattr(plan, field)
        if not low <= value <= high:
            return f"the plan's {field} is {value}: it must be from {low} to {high}"
    for field, text in (("accelerator", plan.accelerator), ("meter", plan.meter)):
        if len(text) > NAME_CHARACTERS or not text.isprintable():
            return f"the plan's {field} is {text[:40]!r}: at most {NAME_CHARACTERS} printable characters"
    if any(cpu >= MOST_CPUS for cpu in plan.affinity_cpus):
        return f"the plan's affinity_cpus are {list(plan.affinity_cpus)[:8]}: each must be below {MOST_CPUS}"
    return _contradiction(plan)


def completed(plan: plan_pb2.Plan) -> plan_pb2.Plan:
    """A plan of an earlier edgemeter, which knew neither batches nor queries of several samples, with what it
    meant: one sample at a time. Others as they are."""
    whole = plan_pb2.Plan()
    whole.CopyFrom(plan)
    whole.batch_size = plan.batch_size or 1
    whole.samples_per_query = plan.samples_per_query or 1
    return whole


def _contradiction(plan: plan_pb2.Plan) -> str | None:
    """What of a plan whose numbers are in bounds can't be done together."""
    if plan.require_energy and not plan.energy_windows:
        return "the plan requires energy and has no energy window: give it energy_windows"
    if plan.scenario == plan_pb2.SCENARIO_SERVER:
        if not (plan.target_qps or plan.latency_bound_ns):
            return "the plan's server needs target_qps, or latency_bound_ns to look for a rate under it"
        if plan.latency_bound_ns and not plan.latency_bound_percent:
            return "the plan's latency_bound_ns is of no percentile: give it latency_bound_percent"
    elif plan.target_qps or plan.latency_bound_ns:
        return "the plan has target_qps or latency_bound_ns, which only the scenario server knows"
    if plan.samples_per_query > 1 and plan.scenario != plan_pb2.SCENARIO_MULTI_STREAM:
        return "the plan's samples_per_query is for the scenario multi-stream only"
    return None


def meets(runtime: device_pb2.RuntimeFacts, requirement: variant_pb2.RuntimeRequirement) -> bool:
    """Whether a runtime is the one that is required, in a version that will do."""
    if runtime.name != requirement.runtime:
        return False
    if not (requirement.min_version or requirement.below_version):
        return True
    try:
        version = Version(runtime.version)
    except InvalidVersion:
        return False
    if requirement.min_version and version < Version(requirement.min_version):
        return False
    return not (requirement.below_version and version >= Version(requirement.below_version))


def _named(requirement: variant_pb2.RuntimeRequirement) -> str:
    words = [requirement.runtime]
    if requirement.min_version:
        words.append(f"≥ {requirement.min_version}")
    if requirement.below_version:
        words.append(f"< {requirement.below_version}")
    return " ".join(words)
