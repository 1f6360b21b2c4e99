from __future__ import annotations

import pytest

from edgemeter_agent.conditions.judge import Machine
from edgemeter_agent.conditions.summary import SeenBlock, summarize
from edgemeter_protos.v1 import device_pb2, result_pb2

MACHINE = Machine(cpu_count=2, threads=1, tick_ns=10_000_000)


def block(start_ns: int, others_ns: int, temperature: int, *void_reasons: str) -> SeenBlock:
    """A second in which we used a core, and others `others_ns`."""
    return SeenBlock(
        before=result_pb2.Snapshot(
            monotonic_ns=start_ns, cpu_busy_ns=0, process_cpu_ns=0, run_delay_ns=0, involuntary_switches=3,
            temperature_millicelsius=temperature, frequency_hz=2_400_000_000, governor="ondemand",
        ),
        after=result_pb2.Snapshot(
            monotonic_ns=start_ns + 10**9, cpu_busy_ns=10**9 + others_ns, process_cpu_ns=10**9,
            run_delay_ns=10**7, involuntary_switches=5, temperature_millicelsius=temperature + 500,
            frequency_hz=2_300_000_000, governor="performance",
        ),
        void_reasons=void_reasons,
    )  # fmt: skip


def test_shares_are_of_kept_blocks_and_extremes_of_all() -> None:
    unreadable = [device_pb2.Observable(name="throttling", detail="not a Raspberry Pi")]
    blocks = [
        block(1, 200_000_000, 50_000),
        block(2 * 10**9, 900_000_000, 60_000, "contention", "steal"),
        block(4 * 10**9, 400_000_000, 55_000),
        block(6 * 10**9, 900_000_000, 56_000, "contention"),
    ]
    conditions = summarize(blocks, MACHINE, unreadable, 7)
    assert (conditions.blocks_kept, conditions.blocks_voided) == (2, 2)
    assert dict(conditions.void_reasons) == {"contention": 2, "steal": 1}
    assert conditions.contention_share == pytest.approx((0.1 + 0.2) / 2)
    assert conditions.run_delay_share == pytest.approx(0.01)
    assert not conditions.HasField("psi_share")
    assert not conditions.HasField("steal_share")
    assert conditions.involuntary_switches == 4
    assert conditions.temperature_max_millicelsius == 60_500
    assert (conditions.frequency_min_hz, conditions.frequency_max_hz) == (2_300_000_000, 2_400_000_000)
    assert conditions.governor == "performance"
    assert conditions.before.monotonic_ns == 1
    assert conditions.after.monotonic_ns == 7 * 10**9
    assert conditions.settled_after_ns == 7
    assert conditions.unreadable[0].detail == "not a Raspberry Pi"


def test_no_block_leaves_everything_absent() -> None:
    conditions = summarize([], MACHINE, [], 0)
    assert conditions == result_pb2.Conditions()


def test_where_no_block_was_kept_the_shares_are_of_all() -> None:
    blocks = [block(1, 400_000_000, 50_000, "steal"), block(2 * 10**9, 800_000_000, 50_000, "steal")]
    conditions = summarize(blocks, MACHINE, [], 0)
    assert conditions.contention_share == pytest.approx((0.2 + 0.4) / 2)
    assert conditions.involuntary_switches == 4
    assert conditions.temperature_max_millicelsius == 50_500


def test_settings_fill_in_and_changes_are_told() -> None:
    first, last = block(1, 0, 50_000), block(4 * 10**9, 0, 58_000)
    first.before.power_mode, last.after.power_mode = "25W", "15W"
    first.before.throttled_bits, last.after.throttled_bits = 0, 0x40000
    first.before.swapped_pages, last.after.swapped_pages = 5, 12
    first.before.boost, last.after.boost = True, False
    last.after.thread_run_delay_ns[1] = 7
    before = result_pb2.Snapshot(
        accelerator_users=0, supply_max_ma=5000, power_mode="old", governor="ondemand"
    )
    after = result_pb2.Snapshot(accelerator_users=2, supply_max_ma=5000)
    conditions = summarize([first, last], MACHINE, [], 0, before, after)
    assert conditions.before.supply_max_ma == 5000
    # what a block saw wins
    assert conditions.before.power_mode == "25W"
    assert conditions.before.governor == "ondemand"
    assert conditions.after.accelerator_users == 2
    assert list(conditions.changes) == [
        "power mode 25W, then 15W",
        "governor ondemand, then performance",
        "boost on, then off",
        "7 pages swapped",
        "get_throttled 0x0, then 0x40000",
        "temperature 50.0 °C, then 58.5 °C",
        "other users of the accelerator 0, then 2",
    ]
    # of use within a block only
    assert not conditions.after.thread_run_delay_ns


def test_nothing_changed_nothing_told() -> None:
    still = block(1, 0, 50_000)
    still.before.governor = "performance"
    assert list(summarize([still], MACHINE, [], 0).changes) == []
