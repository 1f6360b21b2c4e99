"""What a judge must know of the board and of the plan."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from edgemeter_agent.board.processor import own_cpus, tick_ns
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.board.thermal import trips_millicelsius
from edgemeter_protos.v1 import plan_pb2

ON_PROCESSORS = frozenset({"", "cpu", "xnnpack"})
"""What a plan may ask for and is no accelerator."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    cpu_count: int
    threads: int
    """That the measured process computes with."""
    tick_ns: int
    """Resolution of cpu_busy_ns and cpu_steal_ns, on each processor."""
    cpus: tuple[int, ...] = ()
    """The processors that the measured process may use, empty for all: only there can others be in its
    way."""
    uses_accelerator: bool = False
    accelerator_users: int | None = None
    """How many others held it when the job began; None where nobody knows."""
    busy_throughout: bool = False
    """The measured process computes without a pause: on processors, and not as a server's queries arrive."""
    trips_millicelsius: Mapping[str, int] = field(default_factory=dict)
    """Where each thermal zone begins to slow the board down."""

    @property
    def usable_cpus(self) -> int:
        return len(self.cpus) or self.cpu_count


def machine_of(
    board: BoardRoot,
    plan: plan_pb2.Plan,
    uses_accelerator: bool = False,
    accelerator_users: int | None = None,
) -> Machine:
    """This process's machine, for the plan. `accelerator_users` is what `take_setting` found at the start."""
    return Machine(
        cpu_count=os.cpu_count() or 1,
        threads=max(plan.threads, 1),
        tick_ns=tick_ns(),
        # Variants' processes inherit what this one is held on.
        cpus=tuple(sorted(set(plan.affinity_cpus))) or own_cpus(),
        uses_accelerator=uses_accelerator,
        accelerator_users=accelerator_users,
        busy_throughout=not uses_accelerator and plan.scenario != plan_pb2.SCENARIO_SERVER,
        trips_millicelsius=trips_millicelsius(board),
    )
