from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.conditions.judge import Machine, judge_block, shares
from edgemeter_protos.v1 import result_pb2

SECOND_NS = 1_000_000_000
PC = Machine(cpu_count=2, threads=1, tick_ns=10_000_000)
PI = Machine(cpu_count=4, threads=1, tick_ns=10_000_000)
FULL_PI = Machine(cpu_count=4, threads=4, tick_ns=10_000_000)
PINNED = Machine(cpu_count=4, threads=1, tick_ns=10_000_000, cpus=(3,))
PINNED_TO_TWO = Machine(cpu_count=4, threads=1, tick_ns=10_000_000, cpus=(2, 3))
BUSY = Machine(cpu_count=4, threads=1, tick_ns=10_000_000, busy_throughout=True)
BUSY_FOUR = Machine(cpu_count=4, threads=4, tick_ns=10_000_000, busy_throughout=True)
ORIN = Machine(cpu_count=6, threads=1, tick_ns=10_000_000, uses_accelerator=True, accelerator_users=2)
HIDDEN = Machine(cpu_count=6, threads=1, tick_ns=10_000_000, uses_accelerator=True)


def around(**changes: Any) -> tuple[result_pb2.Snapshot, result_pb2.Snapshot]:
    """Snapshots around a block of one busy thread; a field's change is (before, after)."""
    usual: dict[str, tuple[Any, Any]] = {
        "monotonic_ns": (SECOND_NS, 2 * SECOND_NS),
        "cpu_busy_ns": (0, SECOND_NS),
        "process_cpu_ns": (0, SECOND_NS),
        "cpu_steal_ns": (0, 0),
        "psi_cpu_some_us": (0, 0),
        "run_delay_ns": (0, 0),
        "involuntary_switches": (0, 0),
    }
    usual.update(changes)
    known = {name: pair for name, pair in usual.items() if pair != (None, None)}
    return (
        result_pb2.Snapshot(**{name: pair[0] for name, pair in known.items() if pair[0] is not None}),
        result_pb2.Snapshot(**{name: pair[1] for name, pair in known.items() if pair[1] is not None}),
    )


ABSENT = (None, None)
BLIND = {"psi_cpu_some_us": ABSENT, "run_delay_ns": ABSENT}


@pytest.mark.parametrize(
    ("machine", "changes", "reasons"),
    [
        # nothing happened
        (PC, {}, []),
        # nothing could be read
        (PC, {"cpu_busy_ns": ABSENT, "cpu_steal_ns": ABSENT, **BLIND}, []),
        # a light coordinator beside us on a machine of two cores: 20 % of the spare one
        (
            PC,
            {"cpu_busy_ns": (0, int(1.2e9)), "run_delay_ns": (0, 8_000_000), "psi_cpu_some_us": (0, 20_000)},
            [],
        ),
        # a hog on both cores: we got half of one
        (
            PC,
            {
                "cpu_busy_ns": (0, 2 * SECOND_NS),
                "process_cpu_ns": (0, SECOND_NS // 2),
                "run_delay_ns": (0, SECOND_NS // 2),
                "psi_cpu_some_us": (0, 990_000),
            },
            ["contention"],
        ),
        # a hog on the other core waits for nobody, but shares the caches and the clock budget
        (PC, {"cpu_busy_ns": (0, 2 * SECOND_NS)}, ["contention"]),
        # one core of three spare ones
        (PI, {"cpu_busy_ns": (0, 2 * SECOND_NS)}, []),
        # two of three
        (PI, {"cpu_busy_ns": (0, 3 * SECOND_NS)}, ["contention"]),
        # no spare core: 5 % of all, and the ticks' error
        (FULL_PI, {"cpu_busy_ns": (0, int(4.15e9)), "process_cpu_ns": (0, 4 * SECOND_NS)}, []),
        (FULL_PI, {"cpu_busy_ns": (0, int(4.6e9)), "process_cpu_ns": (0, 4 * SECOND_NS)}, ["contention"]),
        # the ticks of a short block blame nobody: 20 ms too many in 100 ms
        (PC, {"monotonic_ns": (0, 10**8), "cpu_busy_ns": (0, 12 * 10**7), "process_cpu_ns": (0, 10**8)}, []),
        # we waited, whoever it was
        (PC, {"run_delay_ns": (0, 60_000_000)}, ["contention"]),
        # four threads waited 3 % each
        (FULL_PI, {"run_delay_ns": (0, 120_000_000)}, []),
        # others waited for each other and we did not: pressure is theirs
        (PI, {"psi_cpu_some_us": (0, 500_000)}, []),
        # where our own waiting can't be read, pressure must do
        (PI, {"psi_cpu_some_us": (0, 500_000), "run_delay_ns": ABSENT}, ["contention"]),
        (PI, {"psi_cpu_some_us": (0, 50_000), "run_delay_ns": ABSENT}, []),
        # and where neither can, switches
        (PI, {**BLIND, "involuntary_switches": (5, 205)}, ["contention"]),
        (PI, {**BLIND, "involuntary_switches": (5, 25)}, []),
        # many switches without waiting are the kernel's own business
        (PI, {"involuntary_switches": (0, 500)}, []),
        # a hypervisor that took a fifth
        (
            PC,
            {
                "cpu_busy_ns": (0, 800_000_000),
                "process_cpu_ns": (0, 800_000_000),
                "cpu_steal_ns": (0, 200_000_000),
            },
            ["steal"],
        ),
        # one tick of steal is the counter's error
        (
            PC,
            {
                "monotonic_ns": (0, 10**8),
                "cpu_busy_ns": (0, 10**8),
                "process_cpu_ns": (0, 10**8),
                "cpu_steal_ns": (0, 10**7),
            },
            [],
        ),
        # throttled: the clock fell
        (PI, {"frequency_hz": (2_400_000_000, 1_500_000_000)}, ["frequency_changed"]),
        # or rose
        (PI, {"frequency_hz": (1_500_000_000, 2_400_000_000)}, ["frequency_changed"]),
        # turbo wavers
        (PC, {"frequency_hz": (4_200_000_000, 4_000_000_000)}, []),
        # readable at one end only
        (PI, {"frequency_hz": (2_400_000_000, None)}, []),
        # bits set since boot, long before us
        (PI, {"throttled_bits": (0x50000, 0x50000)}, []),
        # throttled at the end
        (PI, {"throttled_bits": (0, 0x40004)}, ["throttled"]),
        # throttled in between and over again
        (PI, {"throttled_bits": (0, 0x40000)}, ["throttled"]),
        # capped, and the soft limit
        (PI, {"throttled_bits": (0x2, 0x2)}, ["throttled"]),
        (PI, {"throttled_bits": (0x8, 0x80000)}, ["throttled"]),
        # a weak supply, now and in between
        (PI, {"throttled_bits": (0x50005, 0x50000)}, ["throttled", "under_voltage"]),
        (PI, {"throttled_bits": (0, 0x10000)}, ["under_voltage"]),
        # read at the end only: a sticky bit has no date
        (PI, {"throttled_bits": (None, 0x50000)}, []),
        # a Jetson's counter
        (PI, {"throttle_events": (5, 6)}, ["throttled"]),
        (PI, {"throttle_events": (5, 5)}, []),
        # one of four threads waited for a rival, and the others for it
        (
            FULL_PI,
            {
                "cpu_busy_ns": (0, 4 * SECOND_NS),
                "process_cpu_ns": (0, 4 * SECOND_NS - 80_000_000),
                "run_delay_ns": (0, 80_000_000),
                "thread_run_delay_ns": ({1: 0, 2: 0, 3: 0, 4: 0}, {1: 0, 2: 80_000_000, 3: 0, 4: 0}),
            },
            ["contention"],
        ),
        # each of them a little
        (
            FULL_PI,
            {
                "run_delay_ns": (0, 120_000_000),
                "thread_run_delay_ns": (dict.fromkeys(range(4), 0), dict.fromkeys(range(4), 30_000_000)),
            },
            [],
        ),
        # a thread that is new has waited since it is there; what another waited before is not ours
        (PI, {"thread_run_delay_ns": ({1: 10**9}, {1: 10**9, 9: 60_000_000})}, ["contention"]),
        (PI, {"thread_run_delay_ns": ({1: 10**9}, {1: 10**9 + 10**7})}, []),
        # held on one processor: a tenth of it is too much, whatever the other three are free for
        (PINNED, {"cpu_busy_ns": (0, int(1.1e9))}, ["contention"]),
        (PINNED, {"cpu_busy_ns": (0, int(1.05e9))}, []),
        # held on two, of which it needs one
        (PINNED_TO_TWO, {"cpu_busy_ns": (0, int(1.4e9))}, []),
        (PINNED_TO_TWO, {"cpu_busy_ns": (0, int(1.6e9))}, ["contention"]),
        # stopped for a fifth of the block, and nobody was in its way
        (BUSY, {"cpu_busy_ns": (0, 8 * 10**8), "process_cpu_ns": (0, 8 * 10**8)}, ["stalled"]),
        # what it waited for a processor, or a hypervisor took, is no stall
        (
            BUSY,
            {
                "cpu_busy_ns": (0, 92 * 10**7),
                "process_cpu_ns": (0, 92 * 10**7),
                "run_delay_ns": (0, 4 * 10**7),
                "cpu_steal_ns": (0, 4 * 10**7),
            },
            [],
        ),
        # a server's process waits for queries, and one that uses an accelerator waits for that
        (PI, {"cpu_busy_ns": (0, 10**8), "process_cpu_ns": (0, 10**8)}, []),
        # several threads sleep while they hand over to each other; less than one's work is too little
        (BUSY_FOUR, {"cpu_busy_ns": (0, 8 * 10**8), "process_cpu_ns": (0, 8 * 10**8)}, []),
        (BUSY_FOUR, {"cpu_busy_ns": (0, 7 * 10**8), "process_cpu_ns": (0, 7 * 10**8)}, ["stalled"]),
        # where waiting can't be read, a stall can't be told from it
        (BUSY, {**BLIND, "cpu_busy_ns": (0, 8 * 10**8), "process_cpu_ns": (0, 8 * 10**8)}, []),
        # pages that came back from a card
        (PI, {"swapped_pages": (1000, 1076)}, ["swapped"]),
        (PI, {"swapped_pages": (1000, 1075)}, []),
        (PI, {"swapped_pages": (None, 5000)}, []),
        # somebody set another mode, or another governor
        (ORIN, {"power_mode": ("MAXN_SUPER+jetson_clocks", "MAXN_SUPER")}, ["power_mode_changed"]),
        (PI, {"governor": ("performance", "ondemand")}, ["governor_changed"]),
        (PI, {"governor": (None, "ondemand")}, []),
        # boost degrades what was measured, and voids no block
        (PC, {"boost": (True, False)}, []),
        # somebody came to the accelerator; those who were there when the job began are another matter
        (ORIN, {"accelerator_users": (None, 3)}, ["accelerator_shared"]),
        (ORIN, {"accelerator_users": (None, 2)}, []),
        (HIDDEN, {"accelerator_users": (None, 3)}, []),
        (PI, {"accelerator_users": (None, 3)}, []),
        # the clock of the day was set: nothing is measured by it
        (PI, {"realtime_offset_ns": (0, 10**10)}, []),
        # a Jetson's oc3 is expected
        (ORIN, {"current_events": (0, 50)}, []),
        # all at once, in a fixed order
        (
            PC,
            {
                "frequency_hz": (2, 1),
                "throttled_bits": (1, 5),
                "cpu_steal_ns": (0, SECOND_NS),
                "run_delay_ns": (0, SECOND_NS),
            },
            ["throttled", "under_voltage", "frequency_changed", "contention", "steal"],
        ),
    ],
)
def test_reasons(machine: Machine, changes: dict[str, tuple[Any, Any]], reasons: list[str]) -> None:
    assert judge_block(*around(**changes), machine) == reasons


counters = st.one_of(st.none(), st.integers(0, 2**40))


@given(
    st.fixed_dictionaries(
        {
            name: st.tuples(counters, counters)
            for name in ("cpu_busy_ns", "process_cpu_ns", "cpu_steal_ns", "psi_cpu_some_us", "run_delay_ns")
        }
    ),
    st.integers(1, 64),
    st.integers(0, 128),
)
def test_any_counters_give_shares_that_are_not_negative(
    changes: dict[str, tuple[Any, Any]], cpu_count: int, threads: int
) -> None:
    machine = Machine(cpu_count=cpu_count, threads=threads, tick_ns=10_000_000)
    before, after = around(**changes)
    judge_block(before, after, machine)
    seen = shares(before, after, machine)
    for share in (seen.others, seen.steal, seen.pressure, seen.run_delay, seen.longest_delay, seen.stalled):
        assert share is None or share >= 0
    assert seen.steal is None or seen.steal <= 1
    assert seen.stalled is None or seen.stalled <= 1


@given(st.integers(0, 10**10), st.integers(0, 10**10))
def test_more_waiting_never_saves_a_block(less: int, more: int) -> None:
    less, more = sorted((less, more))
    voided = "contention" in judge_block(*around(run_delay_ns=(0, less)), PC)
    assert not voided or "contention" in judge_block(*around(run_delay_ns=(0, more)), PC)
