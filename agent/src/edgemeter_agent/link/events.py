"""What may happen to the link."""

from __future__ import annotations

from dataclasses import dataclass

from edgemeter_agent.attempts import AttemptKey
from edgemeter_protos.v1 import fleet_pb2


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A deadline passed, or nothing did."""


@dataclass(frozen=True, kw_only=True)
class Received:
    """A message came down stream number `session`."""

    session: int
    message: fleet_pb2.AttachResponse


@dataclass(frozen=True, kw_only=True)
class StreamLost:
    """Stream number `session` ended; `refusal` is a RefusalReason, 0 where it gave none."""

    session: int
    detail: str
    refusal: int = 0


@dataclass(frozen=True, kw_only=True)
class ClaimAnswered:
    """`assignment` is None where no job waits."""

    assignment: fleet_pb2.Assignment | None


@dataclass(frozen=True, kw_only=True)
class ClaimFailed:
    detail: str


@dataclass(frozen=True, kw_only=True)
class AttemptEnded:
    """Its engine is dead; `spooled` where its end is in the spool."""

    attempt: AttemptKey
    spooled: bool


@dataclass(frozen=True, kw_only=True)
class ReportsDelivered:
    """Nothing of `attempt` is in the spool any more."""

    attempt: AttemptKey


@dataclass(frozen=True, kw_only=True)
class LeaseLost:
    attempt: AttemptKey
    reason: str


@dataclass(frozen=True, kw_only=True)
class StopRequested:
    detail: str


Event = (
    Tick
    | Received
    | StreamLost
    | ClaimAnswered
    | ClaimFailed
    | AttemptEnded
    | ReportsDelivered
    | LeaseLost
    | StopRequested
)
