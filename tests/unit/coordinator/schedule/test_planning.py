"""What is built, what is reused, what may run where, and which plans are taken."""

from __future__ import annotations

from typing import Any

import pytest

from edgemeter_coordinator.schedule.planning import (
    PLAN_BOUNDS,
    PlannedVariant,
    can_run,
    completed,
    plan_problem,
    plan_variants,
    unrunnable,
)
from edgemeter_protos import plans
from edgemeter_protos.v1 import device_pb2, plan_pb2, variant_pb2


@pytest.mark.parametrize(
    ("state", "reused", "build"),
    [
        pytest.param(None, False, True, id="new"),
        pytest.param("ready", True, False, id="built by an earlier study"),
        pytest.param("waiting", False, False, id="another study waits for it"),
        pytest.param("converting", False, False, id="another study has it built"),
        pytest.param("failed", False, True, id="failed before: tried again"),
    ],
)
def test_planned(state: str | None, reused: bool, build: bool) -> None:
    states = {} if state is None else {"v1": state}
    (planned,) = plan_variants([("v1", "int8@tflite")], states)
    assert planned == PlannedVariant(variant_id="v1", recipe="int8@tflite", reused=reused, build=build)


def test_the_order_is_kept() -> None:
    planned = plan_variants([("v2", "b"), ("v1", "a")], {"v1": "ready"})
    assert [each.variant_id for each in planned] == ["v2", "v1"]


def need(runtime: str, low: str = "", below: str = "") -> variant_pb2.RuntimeRequirement:
    return variant_pb2.RuntimeRequirement(runtime=runtime, min_version=low, below_version=below)


def have(name: str, version: str) -> device_pb2.RuntimeFacts:
    return device_pb2.RuntimeFacts(name=name, version=version)


@pytest.mark.parametrize(
    ("needs", "has", "can"),
    [
        pytest.param([need("litert")], [have("litert", "2.3.0")], True, id="any version"),
        pytest.param([need("litert")], [have("litert", "unknown")], True, id="any version, even an odd one"),
        pytest.param([need("litert")], [have("tflite-runtime", "2.14.0")], False, id="another runtime"),
        pytest.param([need("litert")], [], False, id="no runtime"),
        pytest.param([need("a", "2.10")], [have("a", "2.9")], False, id="versions are no text"),
        pytest.param([need("a", "2.10")], [have("a", "2.10")], True, id="min is inclusive"),
        pytest.param([need("a", "", "3")], [have("a", "3.0.0")], False, id="below is exclusive"),
        pytest.param([need("a", "", "3")], [have("a", "3.0.0rc1")], True, id="a pre-release is below"),
        pytest.param([need("a", "1")], [have("a", "unknown")], False, id="no version to compare"),
        pytest.param([need("a", "1"), need("b")], [have("b", "0.1")], True, id="one of two is enough"),
        pytest.param([], [have("a", "1")], False, id="nothing may run it"),
    ],
)
def test_can_run(
    needs: list[variant_pb2.RuntimeRequirement], has: list[device_pb2.RuntimeFacts], can: bool
) -> None:
    assert can_run(needs, has) is can
    problem = unrunnable("int8@tflite", needs, "pi-a", has)
    assert (problem is None) is can
    if problem is not None:
        assert "pi-a" in problem
        assert "int8@tflite" in problem


def test_what_is_missing_is_named() -> None:
    problem = unrunnable(
        "dynamic@tflite", [need("litert", "1.0", "3")], "pi-old", [have("tflite-runtime", "2.14")]
    )
    assert problem is not None
    assert "litert ≥ 1.0 < 3" in problem
    assert "tflite-runtime 2.14" in problem


@pytest.mark.parametrize("profile", list(plans.PROFILES))
def test_every_profile_is_in_bounds(profile: str) -> None:
    assert plan_problem(plans.resolve(profile)) is None


SERVER = plans.resolve("quick", scenario="server", target_qps=5, latency_bound="1s")
FITTING = {
    "target_qps": SERVER,
    "latency_bound_ns": SERVER,
    "latency_bound_percent": plans.resolve("quick"),
    "samples_per_query": plans.resolve("quick", scenario="multi-stream"),
}


@pytest.mark.parametrize("field", list(PLAN_BOUNDS))
def test_bounds(field: str) -> None:
    low, high = PLAN_BOUNDS[field]
    for value, wrong in ((low, False), (high, False), (high + 1, True), (low - 1, low > 0)):
        if value < 0:
            continue
        plan = plan_pb2.Plan()
        plan.CopyFrom(FITTING.get(field, plans.resolve("quick")))
        setattr(plan, field, value)
        problem = plan_problem(plan)
        assert (problem is not None) is wrong, problem
        assert problem is None or field in problem


@pytest.mark.parametrize("scenario", list(plans.SCENARIOS))
def test_every_scenario_is_taken(scenario: str) -> None:
    more = {"target_qps": 50} if scenario == "server" else {}
    assert plan_problem(plans.resolve("quick", scenario=scenario, **more)) is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        pytest.param({"scenario": 99}, "scenario is 99", id="a scenario to come"),
        pytest.param({"scenario": plan_pb2.SCENARIO_SERVER}, "needs target_qps", id="no rate and no bound"),
        pytest.param(
            {"scenario": plan_pb2.SCENARIO_SERVER, "latency_bound_ns": 5, "latency_bound_percent": 0},
            "latency_bound_percent",
            id="a bound of nothing",
        ),
        pytest.param({"target_qps": 5.0}, "only the scenario server", id="a rate without a server"),
        pytest.param({"target_qps": float("nan")}, "target_qps", id="no number"),
        pytest.param({"samples_per_query": 8}, "multi-stream", id="a query of many samples"),
        pytest.param(
            {"require_energy": True, "energy_windows": 0}, "energy_windows", id="energy without a window"
        ),
        pytest.param({"accelerator": "a\nb"}, "accelerator", id="two lines"),
        pytest.param({"meter": "m" * 513}, "meter", id="a name too long"),
        pytest.param({"affinity_cpus": [0, 70_000]}, "affinity_cpus", id="no such processor"),
    ],
)
def test_what_can_t_be_measured(fields: dict[str, Any], says: str) -> None:
    plan = plans.resolve("quick")
    for name, value in fields.items():
        if name == "affinity_cpus":
            plan.affinity_cpus.extend(value)
        else:
            setattr(plan, name, value)
    problem = plan_problem(plan)
    assert problem is not None
    assert says in problem
    assert "\n" not in problem


def test_an_earlier_edgemeters_plan_means_one_sample_at_a_time() -> None:
    earlier = plans.resolve("quick")
    earlier.ClearField("batch_size")
    earlier.ClearField("samples_per_query")
    assert plan_problem(earlier) is not None
    assert completed(earlier) == plans.resolve("quick")
    batched = plans.resolve("quick", batch_size=8)
    assert completed(batched) == batched


def test_every_number_of_a_plan_is_bounded_but_the_seed() -> None:
    checked_by_themselves = {"profile", "scenario", "affinity_cpus", "accelerator", "require_energy", "meter"}
    numbers = {field.name for field in plan_pb2.Plan.DESCRIPTOR.fields} - {"seed"} - checked_by_themselves
    assert numbers == set(PLAN_BOUNDS)


def test_an_empty_plan_is_refused() -> None:
    assert plan_problem(plan_pb2.Plan()) is not None
    plan = plans.resolve("quick")
    plan.ClearField("scenario")
    assert "scenario" in (plan_problem(plan) or "")
