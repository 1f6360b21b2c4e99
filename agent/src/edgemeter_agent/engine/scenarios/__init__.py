"""Scenarios: one file each, registered here. How queries follow each other, and what of them is timed.

To add one is to add a file with `prepare`, and its line here.
"""

from __future__ import annotations

from edgemeter_agent.engine.scenarios import multi_stream, offline, server, single_stream
from edgemeter_agent.engine.scenarios.taken import Scenario, Taken
from edgemeter_protos.v1 import plan_pb2

__all__ = ["SCENARIOS", "Scenario", "Taken", "scenario_of"]

SCENARIOS: dict[plan_pb2.Scenario.ValueType, Scenario] = {
    plan_pb2.SCENARIO_SINGLE_STREAM: single_stream.prepare,
    plan_pb2.SCENARIO_MULTI_STREAM: multi_stream.prepare,
    plan_pb2.SCENARIO_OFFLINE: offline.prepare,
    plan_pb2.SCENARIO_SERVER: server.prepare,
}


def scenario_of(scenario: plan_pb2.Scenario.ValueType) -> Scenario:
    """Single-stream where none is named. Raises ValueError for one that this agent does not know."""
    found = SCENARIOS.get(scenario or plan_pb2.SCENARIO_SINGLE_STREAM)
    if found is None:
        raise ValueError(f"this agent knows no scenario number {scenario}; update it")
    return found
