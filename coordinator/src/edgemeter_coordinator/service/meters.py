"""What users attach to boards as meters: each function is one transaction."""

from __future__ import annotations

from sqlalchemy import Connection

from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.schedule.meter_specs import MOST_METERS, shown, spec_problem
from edgemeter_coordinator.schedule.selecting import NoDeviceMatchesError, listed, select
from edgemeter_coordinator.service import bounds
from edgemeter_coordinator.store import devices, meters
from edgemeter_coordinator.store.devices import Device
from edgemeter_protos.v1 import refusal_pb2


def attach(connection: Connection, reference: str, spec: str, *, user: str) -> Device:
    """The board that reads the meter from its next job on.

    Raises Refused: NO_DEVICE_MATCHES, ALREADY_EXISTS, BAD_REQUEST.
    """
    problem = spec_problem(spec)
    bounds.check(problem is None, problem or "")
    board = _one_board(connection, reference)
    there = [shown(each.spec) for each in meters.of_device(connection, board.id)]
    if shown(spec) in there:
        # Another token for the same meter: detach it first.
        raise Refused(
            refusal_pb2.REFUSAL_REASON_ALREADY_EXISTS, f"{shown(spec)} is attached to {board.name} already"
        )
    bounds.check(
        len(there) < MOST_METERS,
        f"{board.name} has {len(there)} meters attached, as many as a board can: detach one first",
    )
    meters.attach(connection, board.id, spec, user=user)
    return board


def detach(connection: Connection, reference: str, spec: str) -> Device:
    """The board that had it. Raises Refused: NO_DEVICE_MATCHES, NOT_FOUND, BAD_REQUEST."""
    board = _one_board(connection, reference)
    attached = {shown(each.spec): each.spec for each in meters.of_device(connection, board.id)}
    # As it is listed, or as it was attached.
    there = attached.pop(shown(spec), None)
    if there is None:
        raise Refused(
            refusal_pb2.REFUSAL_REASON_NOT_FOUND,
            f"no meter {shown(spec)[:80]!r} is attached to {board.name}: "
            + (f"there are {listed(attached)}" if attached else "none is"),
        )
    meters.detach(connection, board.id, there)
    return board


def _one_board(connection: Connection, reference: str) -> Device:
    try:
        found = select(devices.every(connection), [reference])
    except NoDeviceMatchesError as error:
        raise Refused(refusal_pb2.REFUSAL_REASON_NO_DEVICE_MATCHES, str(error)) from error
    bounds.check(
        len(found) == 1,
        f"{reference!r} means {listed([board.name for board in found])}: a meter belongs to one board",
    )
    return found[0]
