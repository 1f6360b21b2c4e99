from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgemeter_protos import plans
from edgemeter_protos.v1 import plan_pb2

SECOND = plans.SECOND_NS
MINUTE = plans.MINUTE_NS


@pytest.mark.parametrize("profile", plans.PROFILES)
def test_every_number_of_a_profile_is_resolved(profile: str) -> None:
    plan = plans.resolve(profile)
    # Nothing, or the usual, is what these mean.
    may_be_zero = {
        *("seed", "quality_samples", "target_qps", "latency_bound_ns", "affinity_cpus", "accelerator"),
        *("require_energy", "meter", "sustain_duration_ns"),
    }
    if profile == "quick":
        may_be_zero |= {"profiled_queries", "cold_starts"}
    unset = {
        field.name
        for field in plan_pb2.Plan.DESCRIPTOR.fields
        if not getattr(plan, field.name) and field.name not in may_be_zero
    }
    assert not unset
    assert plan.profile == profile


@pytest.mark.parametrize(
    ("profile", "numbers"),
    [
        ("quick", (3, 2 * SECOND, 2 * SECOND, 0, 0)),
        ("standard", (5, 10 * SECOND, 10 * SECOND, 20, 2)),
        ("publication", (5, 60 * SECOND, 30 * SECOND, 20, 5)),
    ],
)
def test_a_profiles_energy_operators_and_cold_starts(profile: str, numbers: tuple[int, ...]) -> None:
    plan = plans.resolve(profile)
    assert (
        plan.energy_windows,
        plan.energy_window_min_duration_ns,
        plan.idle_duration_ns,
        plan.profiled_queries,
        plan.cold_starts,
    ) == numbers
    assert (plan.batch_size, plan.samples_per_query, plan.latency_bound_percent) == (1, 1, 99)


@pytest.mark.parametrize("profile", ["standard", "publication"])
def test_enough_queries_for_a_99th_percentile(profile: str) -> None:
    plan = plans.resolve(profile)
    assert plan.processes * plan.blocks * plan.block_min_queries >= 662


def test_publication_runs_as_long_as_loadgen() -> None:
    plan = plans.resolve("publication")
    assert plan.processes * plan.blocks * plan.block_min_duration_ns >= 600 * SECOND


@settings(deadline=None)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "threads": st.integers(1, 64),
            "blocks": st.integers(1, 100),
            "seed": st.integers(0, 2**64 - 1),
            "warmup_min_queries": st.integers(0, 1000),
            "block_min_duration_ns": st.integers(0, 10**12),
            "batch_size": st.integers(1, 65536),
            "accelerator": st.text("abcdefg", max_size=20),
            "require_energy": st.booleans(),
            "energy_windows": st.integers(1, 9),
        },
    )
)
def test_overrides_replace_and_nothing_else_changes(overrides: dict[str, Any]) -> None:
    plan = plans.resolve("quick", **overrides)
    expected = plans.resolve("quick")
    for name, value in overrides.items():
        setattr(expected, name, value)
    assert plan == expected


@pytest.mark.parametrize(
    ("friendly", "plain"),
    [
        ({"sustain": "10m"}, {"sustain_duration_ns": 10 * MINUTE}),
        ({"sustain_duration": "10m"}, {"sustain_duration_ns": 10 * MINUTE}),
        (
            {"min_duration": "2s", "min_queries": 7},
            {"block_min_duration_ns": 2 * SECOND, "block_min_queries": 7},
        ),
        ({"block_min_duration": "250ms"}, {"block_min_duration_ns": SECOND // 4}),
        ({"deadline": "1h30m"}, {"deadline_ns": 90 * MINUTE}),
        ({"settle_timeout": "0s"}, {"settle_timeout_ns": 0}),
        ({"idle_duration": "1.5s"}, {"idle_duration_ns": 3 * SECOND // 2}),
        (
            {"scenario": "server", "latency_bound": "20ms"},
            {"scenario": "server", "latency_bound_ns": 20_000_000},
        ),
        # a whole number does for a number
        ({"scenario": "server", "target_qps": 50}, {"scenario": "server", "target_qps": 50.0}),
        ({"affinity_cpus": (2, 3)}, {"affinity_cpus": [2, 3]}),
    ],
)
def test_friendlier_names(friendly: dict[str, Any], plain: dict[str, Any]) -> None:
    plan = plans.resolve("quick", **friendly)
    assert plan == plans.resolve("quick", **plain)
    for name, value in plain.items():
        if name == "affinity_cpus":
            assert list(plan.affinity_cpus) == value
        elif name != "scenario":
            assert getattr(plan, name) == value


@pytest.mark.parametrize(
    ("overrides", "scenario", "samples_per_query"),
    [
        ({}, plan_pb2.SCENARIO_SINGLE_STREAM, 1),
        ({"scenario": "single-stream", "batch_size": 4}, plan_pb2.SCENARIO_SINGLE_STREAM, 1),
        ({"scenario": "multi-stream"}, plan_pb2.SCENARIO_MULTI_STREAM, 8),
        ({"scenario": "multi-stream", "samples_per_query": 6}, plan_pb2.SCENARIO_MULTI_STREAM, 6),
        ({"scenario": "offline", "batch_size": 64}, plan_pb2.SCENARIO_OFFLINE, 1),
        ({"scenario": "server", "target_qps": 0.5}, plan_pb2.SCENARIO_SERVER, 1),
        ({"scenario": "server", "latency_bound_ns": 1}, plan_pb2.SCENARIO_SERVER, 1),
    ],
)
def test_scenarios_by_name(overrides: dict[str, Any], scenario: int, samples_per_query: int) -> None:
    plan = plans.resolve("quick", **overrides)
    assert (plan.scenario, plan.samples_per_query) == (scenario, samples_per_query)
    assert plans.SCENARIOS[plans.scenario_name(plan.scenario)] == scenario


def test_every_scenario_of_the_contract_has_a_name() -> None:
    assert set(plans.SCENARIOS.values()) == {number for number in plan_pb2.Scenario.values() if number}
    assert plans.scenario_name(plan_pb2.SCENARIO_UNSPECIFIED) == "single-stream"
    with pytest.raises(ValueError, match="no scenario has number 9 here; update edgemeter"):
        plans.scenario_name(9)  # type: ignore[arg-type]


def test_a_sustained_load_gets_its_time() -> None:
    usual = plans.resolve("quick").deadline_ns
    assert plans.resolve("quick", sustain="10m").deadline_ns == usual + 100 * MINUTE
    # No job is to run for longer than a week.
    assert plans.resolve("quick", sustain="24h").deadline_ns == plans.MOST_DEADLINE_NS == 7 * 24 * 60 * MINUTE
    # Who gives a deadline gets that one.
    assert plans.resolve("quick", sustain="10m", deadline="1h").deadline_ns == 60 * MINUTE


@pytest.mark.parametrize(
    ("profile", "overrides", "message"),
    [
        # a profile that is not there
        ("fast", {}, "no profile is called 'fast'; there are quick, standard, publication"),
        # a name that is not there, with the nearest
        ("quick", {"block": 3}, "a plan has nothing called 'block'; did you mean blocks?"),
        ("quick", {"scenaro": "server"}, "did you mean scenario?"),
        ("quick", {"min_duratoin": "2s"}, "did you mean min_duration?"),
        ("quick", {"xyz": 1}, "a plan has nothing called 'xyz'; it has accelerator, affinity_cpus"),
        # the profile's name is no number
        ("quick", {"profile_name": 1}, "a plan has nothing called 'profile_name'"),
        # nothing to measure
        ("quick", {"blocks": 0}, "blocks is 0; it must be from 1"),
        ("quick", {"threads": -1}, "threads is -1"),
        ("quick", {"batch_size": 0}, "batch_size is 0; it must be from 1 to 65536"),
        ("quick", {"energy_window_min_duration": "0s"}, "energy_window_min_duration is 0; it must be from 1"),
        # beyond the field
        ("quick", {"threads": 2**32}, "threads is 4294967296"),
        ("quick", {"seed": 2**64}, "seed is 18446744073709551616"),
        ("quick", {"seed": 10**9999}, "seed is too large a number"),
        ("quick", {"deadline": "99999999999h"}, "deadline is 359999999996400000000000; it must be"),
        # of another type
        ("quick", {"blocks": 2.5}, "blocks is a whole number, not 2.5"),
        ("quick", {"blocks": True}, "blocks is a whole number, not True"),
        ("quick", {"blocks": "6"}, "blocks is a whole number, not '6'"),
        ("quick", {"blocks": None}, "blocks is a whole number, not None"),
        ("quick", {"require_energy": 1}, "require_energy is true or false, not 1"),
        ("quick", {"meter": 3}, "meter is a name, not 3"),
        ("quick", {"meter": "a\nb"}, "meter is 'a\\nb'; at most 512 printable characters"),
        ("quick", {"accelerator": "x" * 513}, "at most 512 printable characters"),
        ("quick", {"target_qps": "50"}, "target_qps is a number, not '50'"),
        ("quick", {"target_qps": True}, "target_qps is a number, not True"),
        ("quick", {"target_qps": float("nan")}, "target_qps is nan; it must be from 0.001 to 1000000, or 0"),
        ("quick", {"target_qps": float("inf")}, "target_qps is inf"),
        ("quick", {"target_qps": -1}, "target_qps is -1"),
        (
            "quick",
            {"latency_bound_percent": float("nan")},
            "latency_bound_percent is nan; it must be from 50",
        ),
        (
            "quick",
            {"latency_bound_percent": 100},
            "latency_bound_percent is 100; it must be from 50 to 99.99",
        ),
        # durations: without a unit, with one where there is none
        ("quick", {"sustain": 600}, "sustain is a duration with a unit, as in 10m, 2s or 250ms, not 600"),
        ("quick", {"sustain": "10"}, "sustain: '10' is no duration"),
        ("quick", {"sustain_duration_ns": "10m"}, "not '10m'; with a unit it is called sustain_duration"),
        (
            "quick",
            {"sustain": "1s", "sustain_duration_ns": 1},
            "sustain and sustain_duration_ns are the same",
        ),
        # processors
        (
            "quick",
            {"affinity_cpus": 1},
            "affinity_cpus is a list of processors' numbers, as in [0, 1], not 1",
        ),
        ("quick", {"affinity_cpus": "01"}, "affinity_cpus is a list"),
        ("quick", {"affinity_cpus": [-1]}, "affinity_cpus has -1; processors are numbered from 0 to 1023"),
        ("quick", {"affinity_cpus": ["0"]}, "affinity_cpus has '0'"),
        ("quick", {"affinity_cpus": [True]}, "affinity_cpus has True"),
        ("quick", {"affinity_cpus": [0, 3, 0]}, "affinity_cpus has processor 0 twice"),
        ("quick", {"affinity_cpus": [1], "threads": 2}, "threads is 2, and affinity_cpus has 1"),
        # scenarios
        ("quick", {"scenario": "sever"}, "no scenario is called 'sever'; did you mean server?"),
        ("quick", {"scenario": "single_stream"}, "did you mean single-stream?"),
        ("quick", {"scenario": "x"}, "there are single-stream, multi-stream, offline, server"),
        ("quick", {"scenario": 4}, "no scenario is called 4"),
        ("quick", {"target_qps": 5}, "target_qps is for the scenario server, and this one is single-stream"),
        (
            "quick",
            {"scenario": "offline", "latency_bound": "1ms"},
            "latency_bound is for the scenario server",
        ),
        (
            "quick",
            {"scenario": "offline", "samples_per_query": 8},
            "samples_per_query is for the scenario multi",
        ),
        ("quick", {"samples_per_query": 2}, "samples_per_query is for the scenario multi-stream"),
        (
            "quick",
            {"scenario": "multi-stream", "batch_size": 16},
            "batch_size is 16, and a query has 8 samples",
        ),
        ("quick", {"scenario": "server"}, "a server needs target_qps, or latency_bound"),
        (
            "quick",
            {"scenario": "server", "target_qps": 1, "batch_size": 2},
            "batch_size is 2, and a server's",
        ),
        # what would be measured by nothing, and killed before its end
        (
            "quick",
            {"require_energy": True, "energy_windows": 0},
            "require_energy is set, and energy_windows is 0",
        ),
        ("quick", {"meter": "rapl", "energy_windows": 0}, "meter is 'rapl', and energy_windows is 0"),
        ("quick", {"sustain": "200h"}, "sustain is 200h, and the job's deadline 168h"),
        ("quick", {"sustain": "1h", "deadline": "30m"}, "sustain is 1h, and the job's deadline 30m"),
    ],
)
def test_refusals_say_what_is_wrong(profile: str, overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        plans.resolve(profile, **overrides)
    assert len(str(caught.value).splitlines()) == 1


def test_a_meter_for_a_sustained_load_alone() -> None:
    assert plans.resolve("quick", meter="rapl", energy_windows=0, sustain="1m").meter == "rapl"


VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(0, 10),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["2s", "10m", *plans.SCENARIOS]),
    st.lists(st.integers(-2, 5), max_size=4),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(deadline=None)
@given(st.sampled_from([*plans.PROFILES]), st.dictionaries(st.sampled_from(plans._NAMES), VALUES, max_size=5))
def test_anything_is_a_plan_or_one_line(profile: str, overrides: dict[str, Any]) -> None:
    told = ""
    try:
        assert plans.resolve(profile, **overrides).scenario in plans.SCENARIOS.values()
    except ValueError as error:
        told = str(error)
    assert len(told.splitlines()) <= 1
    assert len(told) < 1000


@pytest.mark.parametrize(("text", "cpus"), [("3", [3]), ("0,2-3", [0, 2, 3]), (" 2 , 0-1,1", [0, 1, 2])])
def test_processors_as_people_write_them(text: str, cpus: list[int]) -> None:
    assert plans.parse_cpus(text) == cpus


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "3-2", "1,,2", "0x1", "99999"])
def test_what_names_no_processors_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--affinity is"):
        plans.parse_cpus(text)
