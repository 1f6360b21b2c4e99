"""Boards that have joined, and their sessions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from edgemeter_coordinator.schedule.selecting import ALL
from edgemeter_coordinator.store.database import now_ms
from edgemeter_coordinator.store.schema import devices
from edgemeter_protos.v1.device_pb2 import DeviceFacts

MAX_NAME_CHARACTERS = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Device:
    id: str
    name: str
    labels: Mapping[str, str]
    facts: DeviceFacts
    certificate_sha256: str
    epoch: int
    attached: bool
    last_seen_at_ms: int | None
    joined_at_ms: int


def insert(
    connection: Connection,
    *,
    device_id: str,
    wanted_name: str,
    labels: Mapping[str, str],
    facts: DeviceFacts,
    certificate_sha256: str,
) -> str:
    """Adds a board; its name, which is `wanted_name` with a suffix where that is taken."""
    name = _free_name(connection, wanted_name)
    connection.execute(
        devices.insert().values(
            id=device_id,
            name=name,
            labels=dict(labels),
            facts=facts.SerializeToString(),
            certificate_sha256=certificate_sha256,
            epoch=0,
            attached=False,
            joined_at_ms=now_ms(connection),
        )
    )
    return name


def get(connection: Connection, device_id: str) -> Device | None:
    """The board with this id."""
    row = connection.execute(select(devices).where(devices.c.id == device_id)).one_or_none()
    return None if row is None else _device(row)


def every(connection: Connection) -> list[Device]:
    """All boards, by name."""
    return [_device(row) for row in connection.execute(select(devices).order_by(devices.c.name))]


def accepts(connection: Connection, device_id: str, certificate_sha256: str) -> bool:
    """Whether this certificate is the one by which this board may call."""
    row = connection.execute(
        select(devices.c.id).where(
            devices.c.id == device_id, devices.c.certificate_sha256 == certificate_sha256
        )
    ).one_or_none()
    return row is not None


def begin_session(connection: Connection, device_id: str, facts: DeviceFacts) -> int:
    """A newer session of a board: its epoch, which fences the sessions before."""
    epoch: int = connection.execute(
        devices.update()
        .where(devices.c.id == device_id)
        .values(
            epoch=devices.c.epoch + 1,
            attached=True,
            facts=facts.SerializeToString(),
            last_seen_at_ms=now_ms(connection),
        )
        .returning(devices.c.epoch)
    ).scalar_one()
    return epoch


def end_session(connection: Connection, device_id: str, epoch: int) -> None:
    """Notes that a session is over, unless a newer one has begun."""
    connection.execute(
        devices.update()
        .where(devices.c.id == device_id, devices.c.epoch == epoch)
        .values(attached=False, last_seen_at_ms=now_ms(connection))
    )


def end_all_sessions(connection: Connection) -> None:
    """Notes that no board is attached: there is no session when a coordinator starts."""
    connection.execute(devices.update().where(devices.c.attached).values(attached=False))


def epoch_of(connection: Connection, device_id: str) -> int:
    """Of the newest session; 0 before the first."""
    return int(
        connection.execute(select(devices.c.epoch).where(devices.c.id == device_id)).scalar_one_or_none() or 0
    )


def note_seen(connection: Connection, silent_for_ms: Mapping[str, int]) -> None:
    """Notes how long ago each of these boards was last heard of."""
    now = now_ms(connection)
    rows = [{"device": device_id, "seen": now - silent} for device_id, silent in silent_for_ms.items()]
    if rows:
        connection.execute(
            devices.update()
            .where(devices.c.id == bindparam("device"))
            .values(last_seen_at_ms=bindparam("seen")),
            rows,
        )


def _free_name(connection: Connection, wanted: str) -> str:
    stem = "".join(character for character in wanted if character.isprintable()).strip()
    stem = stem[:MAX_NAME_CHARACTERS] or "device"
    taken = set(
        connection.execute(
            select(devices.c.name).where(devices.c.name.startswith(stem, autoescape=True))
        ).scalars()
    )
    # A name that means every board can't mean one.
    taken.add(ALL)
    if stem not in taken:
        return stem
    return next(name for number in count(2) if (name := f"{stem}-{number}") not in taken)


def _device(row: Row[Any]) -> Device:
    return Device(
        id=row.id,
        name=row.name,
        labels=dict(row.labels),
        facts=DeviceFacts.FromString(row.facts),
        certificate_sha256=row.certificate_sha256,
        epoch=row.epoch,
        attached=row.attached,
        last_seen_at_ms=row.last_seen_at_ms,
        joined_at_ms=row.joined_at_ms,
    )
