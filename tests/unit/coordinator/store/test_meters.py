from __future__ import annotations

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.schedule.meter_specs import MOST_METERS
from edgemeter_coordinator.service import meters as attaching
from edgemeter_coordinator.store import meters
from edgemeter_protos.v1 import refusal_pb2
from tests.lab_rows import add_device

Reason = refusal_pb2.RefusalReason


@pytest.fixture(autouse=True)
def boards(connection: Connection) -> None:
    add_device(connection, "a")
    add_device(connection, "b")


def specs(connection: Connection, device_id: str) -> list[str]:
    return [each.spec for each in meters.of_device(connection, device_id)]


def test_a_meter_belongs_to_one_board(connection: Connection) -> None:
    assert attaching.attach(connection, "a", "shelly:x", user="ada").id == "a"
    attaching.attach(connection, "b", "shelly:x", user="ada")
    assert (specs(connection, "a"), specs(connection, "b")) == (["shelly:x"], ["shelly:x"])
    attaching.detach(connection, "a", "shelly:x")
    assert (specs(connection, "a"), specs(connection, "b")) == ([], ["shelly:x"])
    assert set(meters.of_devices(connection)) == {"b"}
    assert meters.of_device(connection, "b")[0].attached_by == "ada"


def test_a_meter_is_detached_by_what_is_listed(connection: Connection) -> None:
    attaching.attach(connection, "a", "remote:pi-b:7450?token=hush", user="ada")
    attaching.detach(connection, "a", "remote:pi-b:7450?token=***")
    assert specs(connection, "a") == []


@pytest.mark.parametrize(
    ("device", "spec", "reason", "says"),
    [
        ("c", "shelly:x", Reason.REFUSAL_REASON_NO_DEVICE_MATCHES, "devices are a, b"),
        ("all", "shelly:x", Reason.REFUSAL_REASON_BAD_REQUEST, "one board"),
        ("a", "shely:x", Reason.REFUSAL_REASON_BAD_REQUEST, "shelly:HOST"),
        ("a", "tasmota:there?password=other", Reason.REFUSAL_REASON_ALREADY_EXISTS, "already"),
    ],
)
def test_what_can_t_be_attached(
    connection: Connection, device: str, spec: str, reason: Reason.ValueType, says: str
) -> None:
    attaching.attach(connection, "a", "tasmota:there?password=hush", user="ada")
    with pytest.raises(Refused, match=says) as refused:
        attaching.attach(connection, device, spec, user="ada")
    assert refused.value.reason == reason
    assert "other" not in refused.value.message
    assert specs(connection, "a") == ["tasmota:there?password=hush"]


def test_a_board_has_so_many_meters(connection: Connection) -> None:
    for number in range(MOST_METERS):
        attaching.attach(connection, "a", f"shelly:{number}", user="ada")
    with pytest.raises(Refused, match="detach one first"):
        attaching.attach(connection, "a", "shelly:more", user="ada")


def test_what_is_not_attached_can_t_be_detached(connection: Connection) -> None:
    with pytest.raises(Refused, match="none is"):
        attaching.detach(connection, "a", "shelly:x")
    attaching.attach(connection, "a", "remote:y:1?token=hush", user="ada")
    with pytest.raises(Refused, match=r"there are remote:y:1\?token=\*\*\*") as refused:
        attaching.detach(connection, "a", "shelly:x")
    assert refused.value.reason == Reason.REFUSAL_REASON_NOT_FOUND


def test_a_meter_is_of_a_board_that_joined(connection: Connection) -> None:
    with pytest.raises(IntegrityError):
        meters.attach(connection, "nobody", "shelly:x", user="ada")
