"""A coordinator in miniature, a board that joined it, and Links at work."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemeter_agent import joining
from edgemeter_agent.identity import Identity
from edgemeter_agent.link.driver import Link
from edgemeter_agent.state_dir import StateDir
from edgemeter_protos.v1 import device_pb2
from tests.integration.agent.link.miniature_coordinator import TOKEN, Coordinator
from tests.integration.agent.link.running_link import RunningLink, StartLink


@pytest.fixture
def coordinator() -> Iterator[Coordinator]:
    lab = Coordinator()
    lab.start()
    yield lab
    lab.stop()


@pytest.fixture
def identity(coordinator: Coordinator) -> Identity:
    joined = joining.join(
        host="127.0.0.1",
        port=coordinator.enrol_port,
        token=TOKEN,
        ca_fingerprint=coordinator.authority.fingerprint,
        name="pi5",
        facts=device_pb2.DeviceFacts(hostname="raspberrypi"),
    )
    assert isinstance(joined, Identity)
    return joined


@pytest.fixture
def start_link(identity: Identity, tmp_path: Path) -> Iterator[StartLink]:
    running: list[RunningLink] = []

    def start(*engine: str | Path, state: str = "state") -> RunningLink:
        state_dir = StateDir(tmp_path / state)
        state_dir.create()
        program = Path(__file__).with_name("fake_engine.py")
        link = Link(
            identity=identity,
            state_dir=state_dir,
            facts=device_pb2.DeviceFacts(hostname="raspberrypi", agent_version="0.1.0"),
            engine_command=(sys.executable, str(program), *map(str, engine)),
        )
        running.append(RunningLink(link))
        return running[-1]

    yield start
    for one in running:
        one.stop()
