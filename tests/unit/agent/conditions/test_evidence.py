"""What was seen where blocks were voided."""

from __future__ import annotations

from typing import Any

import pytest

from edgemeter_agent.conditions.blocks import SeenBlock
from edgemeter_agent.conditions.evidence import SAYINGS, evidence
from edgemeter_agent.conditions.judge import Machine, judge_block
from edgemeter_protos.v1 import result_pb2

SECOND_NS = 1_000_000_000
STOPPED = "stopped, or waiting for a disk"
MACHINE = Machine(
    cpu_count=2,
    threads=1,
    tick_ns=10_000_000,
    busy_throughout=True,
    uses_accelerator=True,
    accelerator_users=0,
)


def block(**changes: tuple[Any, Any]) -> SeenBlock:
    usual = {
        "monotonic_ns": (SECOND_NS, 2 * SECOND_NS),
        "cpu_busy_ns": (0, SECOND_NS),
        "process_cpu_ns": (0, SECOND_NS),
        "cpu_steal_ns": (0, 0),
        "run_delay_ns": (0, 0),
        "involuntary_switches": (0, 0),
        **changes,
    }
    known = {name: pair for name, pair in usual.items() if pair[0] is not None}
    before = result_pb2.Snapshot(**{name: pair[0] for name, pair in known.items()})
    after = result_pb2.Snapshot(**{name: pair[1] for name, pair in known.items()})
    return SeenBlock(before=before, after=after, void_reasons=tuple(judge_block(before, after, MACHINE)))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {
                "cpu_busy_ns": (0, 2 * SECOND_NS),
                "process_cpu_ns": (0, SECOND_NS // 2),
                "run_delay_ns": (0, SECOND_NS // 2),
            },
            {"contention": "others used 75% of the processors' time, the variant waited 50% of it"},
        ),
        (
            {"run_delay_ns": (None, None), "cpu_busy_ns": (None, None), "involuntary_switches": (0, 200)},
            {"contention": "the processor was taken away 200 times"},
        ),
        (
            {"cpu_steal_ns": (0, SECOND_NS // 4), "cpu_busy_ns": (0, 3 * SECOND_NS // 4),
             "process_cpu_ns": (0, 3 * SECOND_NS // 4)},
            {"steal": "a hypervisor took 25%"},
        ),
        (
            {"process_cpu_ns": (0, SECOND_NS // 2), "cpu_busy_ns": (0, SECOND_NS // 2)},
            {"stalled": f"for 50% of a block it neither ran nor waited for a processor: {STOPPED}"},
        ),
        ({"swapped_pages": (0, 300)}, {"swapped": "300 pages a second were swapped"}),
        ({"frequency_hz": (2_400_000_000, 1_500_000_000)}, {"frequency_changed": "2.40 GHz, then 1.50 GHz"}),
        ({"throttled_bits": (0, 0x40004)}, {"throttled": "get_throttled 0x40004"}),
        ({"throttle_events": (3, 5)}, {"throttled": "2 over-current events"}),
        ({"throttled_bits": (0, 0x10000)}, {"under_voltage": "get_throttled 0x10000"}),
        ({"governor": ("performance", "powersave")}, {"governor_changed": "performance, then powersave"}),
        ({"power_mode": ("MAXN", "15W")}, {"power_mode_changed": "MAXN, then 15W"}),
        (
            {"accelerator_users": (0, 2)},
            {"accelerator_shared": "2 other processes held the accelerator, 0 when the job began"},
        ),
    ],
)  # fmt: skip
def test_each_reason_has_its_numbers(changes: dict[str, tuple[Any, Any]], said: dict[str, str]) -> None:
    assert evidence([block(**changes)], MACHINE) == said


def test_the_worst_block_speaks() -> None:
    blocks = [block(swapped_pages=(0, pages)) for pages in (100, 9000, 500, 0)]
    assert evidence(blocks, MACHINE) == {"swapped": "9000 pages a second were swapped"}


def test_a_reason_of_somebody_else_is_left_out() -> None:
    seen = block()
    assert (
        evidence([SeenBlock(before=seen.before, after=seen.after, void_reasons=("rained",))], MACHINE) == {}
    )


def test_every_reason_of_the_judge_is_explained() -> None:
    import inspect

    from edgemeter_agent.conditions import judge

    source = inspect.getsource(judge.judge_block)
    named = {value for name, value in vars(judge).items() if name.isupper() and f" {name}:" in source}
    assert named == set(SAYINGS)
