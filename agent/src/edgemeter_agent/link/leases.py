"""Keeps the leases of held attempts alive.

Attempts that have ended keep theirs until their reports are delivered: a large upload over a thin line
must not lose the job. A coordinator that is silent loses nothing here; only its word does.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

import grpc

from edgemeter_agent.attempts import AttemptKey
from edgemeter_agent.failure import describe, refusal_reason
from edgemeter_agent.link.connection import CALL_TIMEOUT_S
from edgemeter_protos.v1 import fleet_pb2, fleet_pb2_grpc, refusal_pb2

RETRY_S = 1.0
MIN_INTERVAL_S = 0.05

LOST_REASONS = (refusal_pb2.REFUSAL_REASON_ATTEMPT_FENCED, refusal_pb2.REFUSAL_REASON_NOT_FOUND)

log = logging.getLogger(__name__)


def renewal_interval_s(lease_ttl_ms: int) -> float:
    """A quarter of the time to live: three renewals may fail before the lease does."""
    return max(MIN_INTERVAL_S, lease_ttl_ms / 4000)


class LeaseKeeper:
    """Renews in a thread of its own. `lost(attempt, reason)` is called from there."""

    def __init__(self, fleet: fleet_pb2_grpc.FleetStub, lost: Callable[[AttemptKey, str], None]) -> None:
        self._fleet = fleet
        self._lost = lost
        self._changed = threading.Condition()
        self._due: dict[AttemptKey, float] = {}
        # Lost, and still held: not asked for again.
        self._given_up: set[AttemptKey] = set()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
        self._thread.start()

    def hold(self, attempts: Iterable[AttemptKey]) -> None:
        """Renews exactly these from now on; a new one at once, which tells its time to live."""
        wanted = set(attempts)
        with self._changed:
            self._given_up &= wanted
            fresh = wanted - self._due.keys() - self._given_up
            for attempt in self._due.keys() - wanted:
                del self._due[attempt]
            if fresh:
                self._due.update(dict.fromkeys(fresh, time.monotonic()))
                self._changed.notify()

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while (attempt := self._next_due()) is not None:
            interval_s = self._renew(attempt)
            with self._changed:
                if attempt not in self._due:
                    continue
                if interval_s is None:
                    del self._due[attempt]
                    self._given_up.add(attempt)
                else:
                    self._due[attempt] = time.monotonic() + interval_s

    def _next_due(self) -> AttemptKey | None:
        with self._changed:
            while not self._closed:
                if not self._due:
                    self._changed.wait()
                    continue
                attempt, due = min(self._due.items(), key=lambda item: item[1])
                wait_s = due - time.monotonic()
                if wait_s <= 0:
                    return attempt
                self._changed.wait(wait_s)
            return None

    def _renew(self, attempt: AttemptKey) -> float | None:
        """Seconds to the next renewal, None where the lease is lost."""
        try:
            answer = self._fleet.Renew(fleet_pb2.RenewRequest(attempt=attempt.ref), timeout=CALL_TIMEOUT_S)
        except grpc.RpcError as error:
            if refusal_reason(error) not in LOST_REASONS:
                log.debug("%s: lease not renewed: %s", attempt, describe(error))
                return RETRY_S
            self._lost(attempt, describe(error))
            return None
        except ValueError as error:
            # gRPC's word for a channel that is closed: the agent is stopping.
            log.debug("%s: lease not renewed: %s", attempt, error)
            return RETRY_S
        if answer.state == fleet_pb2.LEASE_STATE_LOST:
            self._lost(attempt, answer.reason or "another attempt has the job")
            return None
        return renewal_interval_s(answer.lease_ttl_ms)
