from __future__ import annotations

import pytest
from sqlalchemy import Connection

from edgemeter_coordinator.store import devices
from edgemeter_protos.v1.device_pb2 import DeviceFacts


def add(connection: Connection, device_id: str, name: str, sha256: str = "s") -> str:
    return devices.insert(
        connection,
        device_id=device_id,
        wanted_name=name,
        labels={"rack": "a"},
        facts=DeviceFacts(hostname=name),
        certificate_sha256=sha256,
    )


@pytest.mark.parametrize(
    ("taken", "wanted", "expected"),
    [
        pytest.param([], "pi", "pi", id="free"),
        pytest.param(["pi"], "pi", "pi-2", id="taken"),
        pytest.param(["pi", "pi"], "pi", "pi-3", id="taken twice"),
        pytest.param(["pi-2"], "pi", "pi", id="another's suffix"),
        pytest.param(["pix"], "pi%", "pi%", id="no pattern"),
        pytest.param([], "", "device", id="none wanted"),
        pytest.param([], "all", "all-2", id="what means every board"),
        pytest.param([], " \n\x1b[31m ", "[31m", id="nothing that a terminal would obey"),
        pytest.param([], "n" * 500, "n" * devices.MAX_NAME_CHARACTERS, id="too long"),
    ],
)
def test_names_are_unique(connection: Connection, taken: list[str], wanted: str, expected: str) -> None:
    for number, name in enumerate(taken):
        add(connection, f"d{number}", name)
    assert add(connection, "new", wanted) == expected


def test_only_its_own_certificate_is_accepted(connection: Connection) -> None:
    add(connection, "a", "a", "one")
    add(connection, "b", "b", "two")
    assert devices.accepts(connection, "a", "one")
    assert not devices.accepts(connection, "a", "two")
    assert not devices.accepts(connection, "c", "one")


def test_epochs_rise_and_an_old_session_ends_no_newer_one(connection: Connection) -> None:
    add(connection, "a", "a")
    assert devices.epoch_of(connection, "a") == 0
    assert devices.begin_session(connection, "a", DeviceFacts(hostname="x")) == 1
    assert devices.begin_session(connection, "a", DeviceFacts(hostname="y")) == 2
    devices.end_session(connection, "a", 1)
    device = devices.get(connection, "a")
    assert device is not None
    assert (device.attached, device.epoch, device.facts.hostname) == (True, 2, "y")
    devices.end_session(connection, "a", 2)
    device = devices.get(connection, "a")
    assert device is not None
    assert not device.attached


def test_when_boards_were_last_seen(connection: Connection) -> None:
    add(connection, "a", "a")
    devices.note_seen(connection, {})
    devices.begin_session(connection, "a", DeviceFacts())
    before = devices.get(connection, "a")
    devices.note_seen(connection, {"a": 3_600_000})
    after = devices.get(connection, "a")
    assert before is not None
    assert before.last_seen_at_ms is not None
    assert after is not None
    assert after.last_seen_at_ms is not None
    assert after.last_seen_at_ms < before.last_seen_at_ms


def test_nobody_is_attached_after_a_restart(connection: Connection) -> None:
    add(connection, "a", "a")
    devices.begin_session(connection, "a", DeviceFacts())
    devices.end_all_sessions(connection)
    assert [device.attached for device in devices.every(connection)] == [False]
