"""The benchmark keeps every processor busy, and the lease is renewed all the same."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from edgemeter_agent.identity import Identity
from edgemeter_agent.link.driver import Link
from edgemeter_agent.state_dir import StateDir
from edgemeter_protos.v1 import device_pb2, fleet_pb2
from tests.integration.agent.link.miniature_coordinator import Coordinator
from tests.integration.agent.link.patience import wait_until
from tests.integration.agent.link.running_link import RunningLink

BUSY_S = 3.0
LEASE_S = 2.0
"""A coordinator's usual one is 60 s; the miniature asks for a renewal each 0.1 s."""

# An engine that keeps four processes a processor busy.
BURN = """
import os, subprocess, sys
from google.protobuf import proto
from edgemeter_protos.v1 import engine_pb2
proto.parse_length_prefixed(engine_pb2.EngineJob, sys.stdin.buffer)
spin = "import sys, time; end = time.monotonic() + float(sys.argv[1])\\nwhile time.monotonic() < end: pass"
command = [sys.executable, "-c", spin, sys.argv[1]]
burners = [subprocess.Popen(command) for _ in range(4 * (os.cpu_count() or 1))]
for burner in burners:
    burner.wait()
proto.serialize_length_prefixed(engine_pb2.EngineEvent(done=engine_pb2.EngineDone()), sys.stdout.buffer)
sys.stdout.buffer.flush()
"""


class Stamped(list[fleet_pb2.AttemptRef]):
    """Knows when each renewal came."""

    def __init__(self) -> None:
        super().__init__()
        self.times: list[float] = []

    def append(self, attempt: fleet_pb2.AttemptRef) -> None:
        self.times.append(time.monotonic())
        super().append(attempt)


@pytest.mark.timeout(120)
def test_the_lease_lives_while_every_processor_is_busy(
    coordinator: Coordinator, identity: Identity, tmp_path: Path
) -> None:
    renewals = Stamped()
    coordinator.seen.renewals = renewals
    state_dir = StateDir(tmp_path / "state")
    state_dir.create()
    link = Link(
        identity=identity,
        state_dir=state_dir,
        facts=device_pb2.DeviceFacts(hostname="raspberrypi"),
        engine_command=(sys.executable, "-c", BURN, str(BUSY_S)),
    )
    coordinator.offer("job", [b"artifact"])
    agent = RunningLink(link)
    end = wait_until(lambda: coordinator.end_of("job"), "the attempt's end", 90)
    assert agent.stop() == 0
    assert end.outcome == fleet_pb2.ATTEMPT_OUTCOME_COMPLETED, end.detail
    gaps = [later - earlier for earlier, later in zip(renewals.times, renewals.times[1:], strict=False)]
    # No lease of this length would have run out.
    assert max(gaps) < LEASE_S, f"{len(gaps)} renewals, {max(gaps):.2f} s apart at most"
    assert renewals.times[-1] - renewals.times[0] > BUSY_S / 2
