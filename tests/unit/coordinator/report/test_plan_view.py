"""What a plan comes to, and how long a board is busy with it at least."""

from __future__ import annotations

import pytest

from edgemeter_coordinator.report import plan_view
from edgemeter_protos import plans
from edgemeter_protos.v1 import plan_pb2

S = 10**9


def test_the_least_is_the_sum_of_what_is_planned() -> None:
    plan = plans.resolve(
        "quick",
        processes=2,
        blocks=3,
        block_min_duration_ns=S,
        warmup_min_duration_ns=S,
        cold_starts=1,
        energy_windows=4,
        energy_window_min_duration_ns=10 * S,
        idle_duration_ns=5 * S,
        sustain="10m",
    )
    least = plan_view.least(plan, 3)
    # Three variants: six blocks of two seconds and three starts of a second each.
    assert least.blocks_ns == 3 * (2 * 3 * 2 + 3) * S
    # Idle before and after is the job's, windows are each variant's.
    assert least.energy_ns == (2 * 5 + 3 * 4 * 10) * S
    assert least.sustained_ns == 3 * 600 * S
    assert least.total_ns == least.blocks_ns + least.energy_ns + least.sustained_ns


def test_what_is_not_planned_takes_no_time() -> None:
    least = plan_view.least(plans.resolve("standard", energy_windows=0), 2)
    assert (least.energy_ns, least.sustained_ns) == (0, 0)
    assert "energy" not in plan_view.estimate(plans.resolve("standard", energy_windows=0), 2)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ({"scenario": "server", "latency_bound": "10ms"}, "server, the highest rate, p99 under 10.0 ms"),
        ({"scenario": "server", "target_qps": 50}, "server, 50 queries/s"),
        ({"scenario": "multi-stream", "samples_per_query": 4}, "4 samples a query"),
        ({"scenario": "offline", "batch_size": 16}, "16"),
        ({"affinity_cpus": [2, 3], "threads": 2}, "2 on processors 2, 3"),
        ({"accelerator": "cuda"}, "cuda"),
        ({"require_energy": True, "meter": "ina3221"}, "by ina3221, required"),
        ({"energy_windows": 0}, "not asked for"),
        ({"sustain": "10m"}, "10 min"),
        ({"profiled_queries": 7}, "over 7 queries"),
    ],
)
def test_numbers_are_for_people(plan: dict[str, plans.Value], said: str) -> None:
    texts = [text for _, text in plan_view.numbers(plans.resolve("standard", **plan))]
    assert any(said in text for text in texts), texts


def test_the_search_is_said_to_take_longer() -> None:
    searching = plans.resolve("quick", scenario="server", latency_bound="10ms")
    assert "search" in plan_view.estimate(searching, 1)
    assert "search" not in plan_view.estimate(plans.resolve("quick", scenario="server", target_qps=5), 1)


def test_an_earlier_edgemeters_plan_is_shown() -> None:
    assert ("batch", "1") in plan_view.numbers(plan_pb2.Plan(profile="quick"))
