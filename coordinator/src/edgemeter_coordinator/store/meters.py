"""Meters that users attached to boards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select

from edgemeter_coordinator.store.database import now_ms
from edgemeter_coordinator.store.schema import meters


@dataclass(frozen=True, kw_only=True, slots=True)
class AttachedMeter:
    spec: str
    attached_by: str
    attached_at_ms: int


def attach(connection: Connection, device_id: str, spec: str, *, user: str) -> None:
    """Notes a meter of a board. It must not be there already."""
    connection.execute(
        meters.insert().values(
            device_id=device_id, spec=spec, attached_by=user, attached_at_ms=now_ms(connection)
        )
    )


def detach(connection: Connection, device_id: str, spec: str) -> None:
    """Forgets a meter of a board."""
    connection.execute(meters.delete().where(meters.c.device_id == device_id, meters.c.spec == spec))


def of_device(connection: Connection, device_id: str) -> list[AttachedMeter]:
    """A board's, the first attached first."""
    return list(of_devices(connection, [device_id]).get(device_id, ()))


def of_devices(
    connection: Connection, device_ids: Sequence[str] | None = None
) -> Mapping[str, Sequence[AttachedMeter]]:
    """By board's id, of those that have any; of every board where none is named."""
    statement = select(meters).order_by(meters.c.attached_at_ms, meters.c.spec)
    if device_ids is not None:
        statement = statement.where(meters.c.device_id.in_(device_ids))
    found: dict[str, list[AttachedMeter]] = defaultdict(list)
    for row in connection.execute(statement):
        found[row.device_id].append(
            AttachedMeter(spec=row.spec, attached_by=row.attached_by, attached_at_ms=row.attached_at_ms)
        )
    return dict(found)
