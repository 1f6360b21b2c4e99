"""What the link's core wants done."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from edgemeter_agent.attempts import AttemptKey
from edgemeter_protos.v1 import fleet_pb2


@dataclass(frozen=True, kw_only=True)
class OpenStream:
    """Attach as stream number `session` and say hello, holding `held`."""

    session: int
    held: tuple[AttemptKey, ...]


@dataclass(frozen=True, kw_only=True)
class CloseStream:
    session: int


@dataclass(frozen=True, kw_only=True)
class Attached:
    """The coordinator has welcomed us: reports may be uploaded."""

    epoch: int


@dataclass(frozen=True, kw_only=True)
class Detached:
    """Reports wait."""


@dataclass(frozen=True, kw_only=True)
class SendHeartbeat:
    session: int
    sequence: int


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Answered by ClaimAnswered or ClaimFailed, always."""

    epoch: int


@dataclass(frozen=True, kw_only=True)
class Rest:
    """Nothing is to be done until the coordinator says so."""


@dataclass(frozen=True, kw_only=True)
class StartAttempt:
    """Answered by AttemptEnded, always."""

    assignment: fleet_pb2.Assignment


@dataclass(frozen=True, kw_only=True)
class KillAttempt:
    """Kill the running attempt's processes.

    Its end is reported as CANCELLED, or DEVICE_FAILED where `device_failed`; with `forget`, nothing of
    it is reported.
    """

    attempt: AttemptKey
    reason: str
    forget: bool = False
    device_failed: bool = False


@dataclass(frozen=True, kw_only=True)
class ForgetReports:
    """Drop what the spool has of an attempt. Answered by ReportsDelivered."""

    attempt: AttemptKey
    reason: str


@dataclass(frozen=True, kw_only=True)
class Note:
    """A line for the log."""

    text: str
    level: int = logging.INFO


@dataclass(frozen=True, kw_only=True)
class Stop:
    """End the agent once the running attempt has ended."""

    exit_code: int


Effect = (
    OpenStream
    | CloseStream
    | Attached
    | Detached
    | SendHeartbeat
    | Claim
    | StartAttempt
    | KillAttempt
    | ForgetReports
    | Note
    | Rest
    | Stop
)
