"""What degrades though blocks were kept, and what is only a note."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.conditions.blocks import SeenBlock
from edgemeter_agent.conditions.doubts import Doubts, doubts
from edgemeter_agent.conditions.judge import Machine
from edgemeter_protos.v1 import result_pb2

SECOND_NS = 1_000_000_000
MACHINE = Machine(cpu_count=4, threads=1, tick_ns=10_000_000, trips_millicelsius={"cpu-thermal": 80_000})
ORIN = Machine(cpu_count=6, threads=1, tick_ns=10_000_000, uses_accelerator=True, accelerator_users=1)


def block(start_s: float = 0.0, void: tuple[str, ...] = (), **changes: Any) -> SeenBlock:
    """A second long; a field's change is (before, after)."""
    begin_ns = int(start_s * SECOND_NS)
    before = {name: pair[0] for name, pair in changes.items() if pair[0] is not None}
    after = {name: pair[1] for name, pair in changes.items() if pair[1] is not None}
    return SeenBlock(
        before=result_pb2.Snapshot(monotonic_ns=begin_ns, **before),
        after=result_pb2.Snapshot(monotonic_ns=begin_ns + SECOND_NS, **after),
        void_reasons=void,
    )


def zones(**pairs: tuple[int, int]) -> dict[str, Any]:
    named = {name.replace("_", "-"): pair for name, pair in pairs.items()}
    return {
        "zones_millicelsius": (
            {name: pair[0] for name, pair in named.items()},
            {name: pair[1] for name, pair in named.items()},
        )
    }


def codes(found: Doubts) -> tuple[list[str], list[str]]:
    return [code for code, _ in found.degraded], [code for code, _ in found.notes]


@pytest.mark.parametrize(
    ("machine", "blocks", "degraded", "notes"),
    [
        (MACHINE, [], [], []),
        (MACHINE, [block()], [], []),
        # a block that heats up, or cools down, by more than the room there was
        (MACHINE, [block(**zones(cpu_thermal=(50_000, 60_001)))], ["temperature_ramp"], []),
        (MACHINE, [block(**zones(cpu_thermal=(50_000, 60_000)))], [], []),
        (MACHINE, [block(), block(**zones(gpu_thermal=(60_000, 45_000)))], ["temperature_ramp"], []),
        # a block that was voided for what else happened is not ours
        (MACHINE, [block(void=("throttled",), **zones(cpu_thermal=(50_000, 70_000)))], [], []),
        # a ramp over many blocks is none within one
        (
            MACHINE,
            [block(n, **zones(cpu_thermal=(40_000 + 5000 * n, 45_000 + 5000 * n))) for n in range(6)],
            [],
            [],
        ),
        # near the point at which the board slows down; a zone without one has none
        (MACHINE, [block(**zones(cpu_thermal=(77_000, 76_000)))], ["near_trip"], []),
        (MACHINE, [block(**zones(cpu_thermal=(76_999, 76_000)))], [], []),
        (MACHINE, [block(**zones(soc_thermal=(99_000, 99_000)))], [], []),
        # changed between blocks, and back
        (
            MACHINE,
            [
                block(0, governor=("performance", "performance")),
                block(2, governor=("ondemand", "ondemand")),
                block(4, governor=("performance", "performance")),
            ],
            ["governor_changed"],
            [],
        ),
        (MACHINE, [block(boost=(True, False))], ["boost_changed"], []),
        (
            MACHINE,
            [block(power_mode=("25W", "25W")), block(2, power_mode=("15W", "15W"))],
            ["power_mode_changed"],
            [],
        ),
        # the clock of one block and that of another
        (
            MACHINE,
            [
                block(frequency_hz=(1_500_000_000, 1_500_000_000)),
                block(2, frequency_hz=(2_400_000_000, 2_400_000_000)),
            ],
            ["frequency_varied"],
            [],
        ),
        (MACHINE, [block(frequency_hz=(2_300_000_000, 2_400_000_000))], [], []),
        # the clock of the day: set, slewed by NTP, read by chance at a bad moment
        (MACHINE, [block(realtime_offset_ns=(0, 50_600_000))], [], ["clock_stepped"]),
        (MACHINE, [block(realtime_offset_ns=(10**10, 0))], [], ["clock_stepped"]),
        (MACHINE, [block(realtime_offset_ns=(0, 50_400_000))], [], []),
        # between two blocks
        (
            MACHINE,
            [block(0, realtime_offset_ns=(5, 5)), block(10, realtime_offset_ns=(10**9, 10**9))],
            [],
            ["clock_stepped"],
        ),
        # ten minutes of slewing by 500 ppm
        (
            MACHINE,
            [block(0, realtime_offset_ns=(0, 0)), block(600, realtime_offset_ns=(300_000_000, 300_000_000))],
            [],
            [],
        ),
        # oc3: 9 events in a second are 0.9 % of the time, 11 are more than 1 %
        (ORIN, [block(current_events=(100, 109))], [], ["over_current"]),
        (ORIN, [block(current_events=(100, 111))], ["over_current"], []),
        (ORIN, [block(current_events=(100, 100))], [], []),
    ],
)
def test_of_blocks(machine: Machine, blocks: list[SeenBlock], degraded: list[str], notes: list[str]) -> None:
    found = doubts(blocks, machine)
    assert codes(found) == (degraded, notes)
    assert all(detail for _, detail in (*found.degraded, *found.notes))


@pytest.mark.parametrize(
    ("frequencies", "degraded", "notes"),
    [
        # held by luck
        ((1_800_000_000, 1_800_000_000), [], ["governor_not_set"]),
        ((1_500_000_000, 2_400_000_000), ["governor_not_set"], []),
    ],
)
def test_a_governor_that_cannot_be_set_degrades_where_the_clock_varied(
    frequencies: tuple[int, int], degraded: list[str], notes: list[str]
) -> None:
    blocks = [
        block(2 * n, governor=("ondemand", "ondemand"), frequency_hz=(hz, hz))
        for n, hz in enumerate(frequencies)
    ]
    found = doubts(blocks, MACHINE, governor_why_not="scaling_governor is not writable; root may")
    assert codes(found) == (degraded, notes)
    assert "root may" in (*found.degraded, *found.notes)[0][1]


def test_a_board_without_governors_lacks_none() -> None:
    assert doubts([block()], MACHINE, governor_why_not="no /sys/…/policy*") == Doubts()


def test_details_have_the_numbers() -> None:
    blocks = [
        block(0, **zones(cpu_thermal=(60_000, 78_500))),
        block(2, power_mode=("25W", "25W")),
        block(4, power_mode=("15W", "15W"), realtime_offset_ns=(0, -2_500_000_000)),
    ]
    found = doubts(blocks, MACHINE)
    details = dict((*found.degraded, *found.notes))
    assert details["temperature_ramp"].startswith(
        "cpu-thermal rose by 18.5 °C within a block, in 1 of 3 blocks"
    )
    assert details["near_trip"] == "cpu-thermal reached 78.5 °C; at 80 °C the board slows down"
    assert details["power_mode_changed"] == "power mode 25W, then 15W"
    assert "set by -2.500 s" in details["clock_stepped"]


@pytest.mark.parametrize(
    ("before", "after", "degraded", "notes"),
    [
        ({}, {}, [], []),
        ({"accelerator_users": 1}, {"accelerator_users": 1}, ["accelerator_shared"], []),
        ({"accelerator_users": 0}, {"accelerator_users": 1}, ["accelerator_shared"], []),
        ({"accelerator_users": 0}, {"accelerator_users": 0}, [], []),
        ({"supply_max_ma": 3000}, {"supply_max_ma": 3000}, [], ["weak_supply"]),
        ({"supply_max_ma": 5000}, {"supply_max_ma": 5000}, [], []),
        ({"power_mode": "25W"}, {"power_mode": "15W"}, ["power_mode_changed"], []),
        # set for measuring, and put back
        ({"governor": "ondemand"}, {"governor": "performance"}, [], []),
    ],
)
def test_of_the_jobs_settings(
    before: dict[str, Any], after: dict[str, Any], degraded: list[str], notes: list[str]
) -> None:
    found = doubts([block()], ORIN, result_pb2.Snapshot(**before), result_pb2.Snapshot(**after))
    assert codes(found) == (degraded, notes)


def test_who_holds_an_accelerator_that_is_not_used_does_not_matter() -> None:
    held = result_pb2.Snapshot(accelerator_users=3)
    assert doubts([block()], MACHINE, held, held) == Doubts()


@given(
    st.lists(
        st.tuples(
            st.integers(-50_000, 150_000),
            st.integers(0, 4 * 10**9),
            st.integers(-(10**12), 10**12),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_any_numbers_give_reasons_with_details(numbers: list[tuple[int, int, int, bool]]) -> None:
    blocks = [
        block(
            n,
            void=("steal",) if void else (),
            frequency_hz=(clock, clock),
            realtime_offset_ns=(offset, offset),
            **zones(cpu_thermal=(hot, hot + 1)),
        )
        for n, (hot, clock, offset, void) in enumerate(numbers)
    ]
    found = doubts(blocks, MACHINE)
    reasons = [*found.degraded, *found.notes]
    assert len({code for code, _ in reasons}) == len(reasons)
    assert all(detail for _, detail in reasons)
