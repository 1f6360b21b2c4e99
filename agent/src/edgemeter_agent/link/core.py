"""The device link as a pure function: (state, event) -> (state, effects).

It knows no sockets, threads, clocks or randomness: the time, and a number drawn from [0, 1), come in
with the event, and what is to be done goes out as effects. `deadline_ns` says when a Tick is due.

The stream carries no truth. A job is this board's when Claim says so, and no longer when Renew, a
cancellation or Welcome says so; everything here may be repeated.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from edgemeter_agent.attempts import AttemptKey
from edgemeter_agent.link import backoff
from edgemeter_agent.link.effects import (
    Attached,
    Claim,
    CloseStream,
    Detached,
    Effect,
    ForgetReports,
    KillAttempt,
    Note,
    OpenStream,
    Rest,
    SendHeartbeat,
    StartAttempt,
    Stop,
)
from edgemeter_agent.link.events import (
    AttemptEnded,
    ClaimAnswered,
    ClaimFailed,
    Event,
    LeaseLost,
    Received,
    ReportsDelivered,
    StopRequested,
    StreamLost,
    Tick,
)
from edgemeter_agent.link.state import LinkState, Phase
from edgemeter_protos import PROTOCOL_VERSION
from edgemeter_protos.v1 import fleet_pb2, refusal_pb2

WELCOME_TIMEOUT_NS = 15_000_000_000
MISSED_HEARTBEATS = 3
"""Intervals without a word from the coordinator after which the stream counts as dead."""

MIN_HEARTBEAT_NS = 50_000_000
MAX_HEARTBEAT_NS = 300_000_000_000
USUAL_HEARTBEAT_NS = 10_000_000_000

EXIT_SUPERSEDED = 4
"""Exit code where another agent runs with this board's identity; restarting would only fight it."""

NEEDS_A_PERSON = frozenset(
    {
        refusal_pb2.REFUSAL_REASON_DEVICE_UNKNOWN,
        refusal_pb2.REFUSAL_REASON_UNAUTHENTICATED,
        refusal_pb2.REFUSAL_REASON_NOT_ALLOWED,
        refusal_pb2.REFUSAL_REASON_PROTOCOL_MISMATCH,
    }
)
"""Refusals that retrying does not cure."""

Step = tuple[LinkState, tuple[Effect, ...]]


def deadline_ns(state: LinkState) -> int | None:
    """The monotonic time at which `step` wants a Tick; None where only an event can change anything."""
    if state.phase is Phase.STOPPED:
        return None
    if state.phase is not Phase.ATTACHED:
        return state.wake_at_ns
    due = [state.heartbeat_at_ns, state.heard_at_ns + MISSED_HEARTBEATS * state.heartbeat_interval_ns]
    if state.claim_retry_at_ns is not None:
        due.append(state.claim_retry_at_ns)
    return min(due)


def step(state: LinkState, event: Event, *, now_ns: int, chance: float) -> Step:
    """What the link becomes, and what is to be done, once `event` has happened.

    `now_ns` is CLOCK_MONOTONIC, `chance` uniform in [0, 1).
    """
    if state.phase is Phase.STOPPED:
        return _after_stop(state, event)
    state, effects = _handle(state, event, now_ns, chance)
    state, claims = _claim_if_free(state)
    return state, (*effects, *claims)


def _handle(state: LinkState, event: Event, now_ns: int, chance: float) -> Step:
    match event:
        case Tick():
            return _tick(state, now_ns, chance)
        case Received():
            if event.session != state.session or state.phase is Phase.WAITING:
                return state, ()
            return _received(replace(state, heard_at_ns=now_ns), event.message, now_ns, chance)
        case StreamLost():
            if event.session != state.session or state.phase is Phase.WAITING:
                return state, ()
            return _stream_lost(state, event, now_ns, chance)
        case ClaimAnswered():
            return _claim_answered(state, event)
        case ClaimFailed():
            return _claim_failed(state, event, now_ns, chance)
        case AttemptEnded() | ReportsDelivered():
            return _attempt_over(state, event), ()
        case LeaseLost():
            return _kill(state, event.attempt, f"lease lost: {event.reason}", forget=True)
        case StopRequested():
            return _stop(state, exit_code=0, detail=event.detail)


def _after_stop(state: LinkState, event: Event) -> Step:
    # The lease of a job that was claimed while stopping runs out, or the next hello gives it back.
    if isinstance(event, AttemptEnded | ReportsDelivered):
        return _attempt_over(state, event), ()
    return state, ()


def _tick(state: LinkState, now_ns: int, chance: float) -> Step:
    if state.phase is Phase.WAITING:
        if now_ns < state.wake_at_ns:
            return state, ()
        session = state.session + 1
        opened = replace(state, phase=Phase.GREETING, session=session, wake_at_ns=now_ns + WELCOME_TIMEOUT_NS)
        return opened, (OpenStream(session=session, held=held(state)),)
    if state.phase is Phase.GREETING:
        if now_ns < state.wake_at_ns:
            return state, ()
        return _reconnect(state, "the coordinator did not answer the hello", now_ns, chance)
    return _tick_attached(state, now_ns, chance)


def _tick_attached(state: LinkState, now_ns: int, chance: float) -> Step:
    silent_ns = now_ns - state.heard_at_ns
    if silent_ns >= MISSED_HEARTBEATS * state.heartbeat_interval_ns:
        return _reconnect(state, f"nothing heard for {silent_ns / 1e9:.1f} s", now_ns, chance)
    if state.claim_retry_at_ns is not None and now_ns >= state.claim_retry_at_ns:
        state = replace(state, claim_retry_at_ns=None, claim_wanted=True)
    if now_ns < state.heartbeat_at_ns:
        return state, ()
    sequence = state.heartbeat_sequence + 1
    state = replace(state, heartbeat_sequence=sequence, heartbeat_at_ns=now_ns + state.heartbeat_interval_ns)
    return state, (SendHeartbeat(session=state.session, sequence=sequence),)


def _received(state: LinkState, message: fleet_pb2.AttachResponse, now_ns: int, chance: float) -> Step:
    match message.WhichOneof("message"):
        case "welcome":
            return _welcome(state, message.welcome, now_ns, chance)
        case "goodbye":
            return _goodbye(state, message.goodbye, now_ns, chance)
        case "cancel":
            cancelled = message.cancel
            return _kill(state, AttemptKey.of(cancelled.attempt), cancelled.reason or "cancelled")
        case "nudge":
            return replace(state, claim_wanted=True), ()
        case "heartbeat_ack":
            # Only now is the coordinator known to serve, not merely to accept.
            return replace(state, failures=0, last_failure=""), ()
        case _:
            return state, ()


def _welcome(state: LinkState, welcome: fleet_pb2.Welcome, now_ns: int, chance: float) -> Step:
    if welcome.protocol_version != PROTOCOL_VERSION:
        detail = (
            f"the coordinator ({welcome.coordinator_version}) speaks protocol {welcome.protocol_version}, "
            f"this agent {PROTOCOL_VERSION}: upgrade the older of the two"
        )
        return _reconnect(state, detail, now_ns, chance, slow=True)
    if state.phase is Phase.ATTACHED:
        return state, ()
    interval_ns = welcome.heartbeat_interval_ms * 1_000_000 or USUAL_HEARTBEAT_NS
    interval_ns = max(MIN_HEARTBEAT_NS, min(interval_ns, MAX_HEARTBEAT_NS))
    state = replace(
        state,
        phase=Phase.ATTACHED,
        epoch=welcome.epoch,
        heartbeat_interval_ns=interval_ns,
        heartbeat_at_ns=now_ns + interval_ns,
        claim_wanted=True,
        claim_retry_at_ns=None,
        claim_failures=0,
    )
    effects: list[Effect] = [
        Note(text=f"attached to coordinator {welcome.coordinator_version}, session {welcome.epoch}"),
        Attached(epoch=welcome.epoch),
    ]
    for ref in welcome.cancel:
        state, more = _give_up(state, AttemptKey.of(ref))
        effects += more
    return state, tuple(effects)


def _goodbye(state: LinkState, goodbye: fleet_pb2.Goodbye, now_ns: int, chance: float) -> Step:
    match goodbye.reason:
        case fleet_pb2.GOODBYE_REASON_SUPERSEDED:
            return _superseded(state, goodbye.detail)
        case fleet_pb2.GOODBYE_REASON_PROTOCOL_MISMATCH:
            detail = goodbye.detail or "the coordinator speaks another protocol version"
            return _reconnect(state, detail, now_ns, chance, slow=True)
        case fleet_pb2.GOODBYE_REASON_SHUTTING_DOWN:
            return _reconnect(state, "the coordinator is shutting down", now_ns, chance)
        case _:
            return _reconnect(state, goodbye.detail or "the coordinator said goodbye", now_ns, chance)


def _superseded(state: LinkState, detail: str) -> Step:
    text = "another agent attached with this board's identity; this one stops"
    return _stop(state, exit_code=EXIT_SUPERSEDED, detail=f"{text} ({detail})" if detail else text)


def _stream_lost(state: LinkState, event: StreamLost, now_ns: int, chance: float) -> Step:
    if event.refusal == refusal_pb2.REFUSAL_REASON_SESSION_SUPERSEDED:
        return _superseded(state, "")
    slow = event.refusal in NEEDS_A_PERSON
    return _reconnect(state, event.detail, now_ns, chance, slow=slow)


def _reconnect(state: LinkState, detail: str, now_ns: int, chance: float, *, slow: bool = False) -> Step:
    # A running attempt goes on: its lease is renewed apart from the stream, its results are spooled.
    wait_ns = backoff.slow_delay_ns(chance) if slow else backoff.delay_ns(state.failures, chance)
    # Said once, not at each of a night's retries.
    level = logging.WARNING if detail != state.last_failure else logging.DEBUG
    note = Note(level=level, text=f"not attached: {detail}; trying again in {wait_ns / 1e9:.1f} s")
    closed = CloseStream(session=state.session)
    state = replace(
        state,
        phase=Phase.WAITING,
        wake_at_ns=now_ns + wait_ns,
        failures=state.failures + 1,
        last_failure=detail,
    )
    return state, (note, Detached(), closed)


def _claim_if_free(state: LinkState) -> Step:
    # Reports go first: their upload would disturb the next measurement.
    busy = state.claim_in_flight or state.running is not None or bool(state.unreported)
    wanted = state.claim_wanted and state.claim_retry_at_ns is None
    if state.phase is not Phase.ATTACHED or busy or not wanted:
        return state, ()
    return replace(state, claim_in_flight=True, claim_wanted=False), (Claim(epoch=state.epoch),)


def _claim_answered(state: LinkState, event: ClaimAnswered) -> Step:
    state = replace(state, claim_in_flight=False, claim_failures=0)
    if event.assignment is None:
        return state, (Rest(),)
    attempt = AttemptKey.of(event.assignment.attempt)
    # Also where the session has changed since: the first renewal tells whether the lease stands.
    return replace(state, running=attempt), (
        Note(text=f"{attempt}: claimed, {len(event.assignment.variants)} variant(s)"),
        StartAttempt(assignment=event.assignment),
    )


def _claim_failed(state: LinkState, event: ClaimFailed, now_ns: int, chance: float) -> Step:
    retry_at_ns = now_ns + backoff.delay_ns(state.claim_failures, chance)
    state = replace(
        state,
        claim_in_flight=False,
        claim_retry_at_ns=retry_at_ns,
        claim_failures=state.claim_failures + 1,
    )
    return state, (Note(level=logging.WARNING, text=f"could not claim: {event.detail}"),)


def _attempt_over(state: LinkState, event: AttemptEnded | ReportsDelivered) -> LinkState:
    if isinstance(event, ReportsDelivered):
        # A quick upload may be done before the worker's thread has said that it ended.
        early = event.attempt == state.running
        state = replace(state, running_reported=state.running_reported or early, claim_wanted=True)
        return replace(state, unreported=state.unreported - {event.attempt})
    if event.attempt != state.running:
        return state
    left = {event.attempt} if event.spooled and not state.running_reported else set()
    return replace(
        state, running=None, running_reported=False, unreported=state.unreported | left, claim_wanted=True
    )


def _kill(state: LinkState, attempt: AttemptKey, reason: str, *, forget: bool = False) -> Step:
    # One that has ended here is left: its reports will be kept as late evidence.
    if attempt != state.running:
        return state, ()
    return state, (KillAttempt(attempt=attempt, reason=reason, forget=forget),)


def _give_up(state: LinkState, attempt: AttemptKey) -> Step:
    reason = "the coordinator gave it up"
    if attempt in state.unreported:
        return state, (ForgetReports(attempt=attempt, reason=reason),)
    return _kill(state, attempt, reason, forget=True)


def _stop(state: LinkState, *, exit_code: int, detail: str) -> Step:
    effects: list[Effect] = [Note(text=detail)]
    if state.running is not None:
        stopping = KillAttempt(attempt=state.running, reason="the agent was stopped", device_failed=True)
        effects.append(stopping)
    effects.append(Stop(exit_code=exit_code))
    return replace(state, phase=Phase.STOPPED), tuple(effects)


def held(state: LinkState) -> tuple[AttemptKey, ...]:
    """Attempts that this board runs or has yet to report, in order."""
    running: Iterable[AttemptKey] = () if state.running is None else (state.running,)
    return tuple(sorted({*running, *state.unreported}))
