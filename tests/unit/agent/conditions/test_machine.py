from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.conditions.machine import machine_of
from edgemeter_protos.v1 import plan_pb2

SINGLE, SERVER = plan_pb2.SCENARIO_SINGLE_STREAM, plan_pb2.SCENARIO_SERVER


@pytest.mark.parametrize(
    ("scenario", "uses_accelerator", "busy"),
    [(SINGLE, False, True), (SERVER, False, False), (SINGLE, True, False)],
)
def test_who_computes_without_a_pause(
    tmp_path: Path, scenario: plan_pb2.Scenario.ValueType, uses_accelerator: bool, busy: bool
) -> None:
    plan = plan_pb2.Plan(scenario=scenario, threads=2, affinity_cpus=[3, 1])
    machine = machine_of(BoardRoot(tmp_path), plan, uses_accelerator, 5)
    assert machine.busy_throughout is busy
    assert machine.cpu_count == os.cpu_count()
    assert (machine.threads, machine.cpus, machine.usable_cpus) == (2, (1, 3), 2)
    assert (machine.uses_accelerator, machine.accelerator_users) == (uses_accelerator, 5)


def test_trips_are_read_once_for_the_job(tmp_path: Path) -> None:
    zone = tmp_path / "sys/class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    for name, content in (
        ("type", "tj-thermal"),
        ("trip_point_0_type", "hot"),
        ("trip_point_0_temp", "95000"),
    ):
        (zone / name).write_text(content + "\n")
    machine = machine_of(BoardRoot(tmp_path), plan_pb2.Plan())
    assert machine.trips_millicelsius == {"tj-thermal": 95000}
    assert machine.usable_cpus == os.cpu_count()
