"""What is built, what is reused, what may run where, and which plans are taken."""

from __future__ import annotations

import pytest

from edgemeter_coordinator.schedule.planning import (
    PLAN_BOUNDS,
    PlannedVariant,
    can_run,
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


@pytest.mark.parametrize("field", list(PLAN_BOUNDS))
def test_bounds(field: str) -> None:
    low, high = PLAN_BOUNDS[field]
    for value, wrong in ((low, False), (high, False), (high + 1, True), (low - 1, low > 0)):
        if value < 0:
            continue
        plan = plans.resolve("quick")
        setattr(plan, field, value)
        problem = plan_problem(plan)
        assert (problem is not None) is wrong
        assert problem is None or field in problem


def test_every_number_of_a_plan_is_bounded_but_the_seed() -> None:
    numbers = {field.name for field in plan_pb2.Plan.DESCRIPTOR.fields} - {"profile", "scenario", "seed"}
    assert numbers == set(PLAN_BOUNDS)


def test_an_empty_plan_is_refused() -> None:
    assert plan_problem(plan_pb2.Plan()) is not None
    plan = plans.resolve("quick")
    plan.ClearField("scenario")
    assert "scenario" in (plan_problem(plan) or "")
