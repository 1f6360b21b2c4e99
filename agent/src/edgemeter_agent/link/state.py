"""What the link's core remembers between events."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from edgemeter_agent.attempts import AttemptKey


class Phase(enum.Enum):
    """Where the link stands."""

    WAITING = "waiting"
    """No stream; one is opened at `wake_at_ns`."""
    GREETING = "greeting"
    """Hello is said; given up at `wake_at_ns` where no welcome comes."""
    ATTACHED = "attached"
    STOPPED = "stopped"
    """For good."""


@dataclass(frozen=True, kw_only=True)
class LinkState:
    """All times are CLOCK_MONOTONIC. A fresh one opens its stream at the first Tick."""

    phase: Phase = Phase.WAITING
    # Counts our streams, so that the last words of an old one are not taken for the new one's.
    session: int = 0
    # The coordinator's number for the session.
    epoch: int = 0
    wake_at_ns: int = 0
    # In a row, without a heartbeat answered between.
    failures: int = 0
    last_failure: str = ""

    heartbeat_interval_ns: int = 0
    heartbeat_sequence: int = 0
    heartbeat_at_ns: int = 0
    heard_at_ns: int = 0

    claim_wanted: bool = False
    claim_in_flight: bool = False
    claim_retry_at_ns: int | None = None
    claim_failures: int = 0

    running: AttemptKey | None = None
    # Its end is delivered, though its worker has yet to say that it ended.
    running_reported: bool = False
    # Ended here, with reports still in the spool.
    unreported: frozenset[AttemptKey] = frozenset()
