from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

import pytest

from edgemeter_agent.attempts import AttemptKey
from edgemeter_agent.link import backoff, core
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

S = 1_000_000_000
JOB = AttemptKey("job", 2)
OTHER = AttemptKey("other", 1)

ATTACHED = LinkState(
    phase=Phase.ATTACHED,
    session=3,
    epoch=7,
    heartbeat_interval_ns=10 * S,
    heartbeat_at_ns=110 * S,
    heard_at_ns=100 * S,
)
RUNNING = replace(ATTACHED, running=JOB)
GREETING = LinkState(phase=Phase.GREETING, session=3, wake_at_ns=115 * S)
ASSIGNMENT = fleet_pb2.Assignment(attempt=JOB.ref)
NUDGE = fleet_pb2.AttachResponse(nudge=fleet_pb2.Nudge())


def down(message: fleet_pb2.AttachResponse, session: int = 3) -> Received:
    return Received(session=session, message=message)


def welcome(
    *,
    protocol_version: int = PROTOCOL_VERSION,
    heartbeat_interval_ms: int = 10_000,
    keep: Sequence[fleet_pb2.AttemptRef] = (),
    cancel: Sequence[fleet_pb2.AttemptRef] = (),
) -> Received:
    message = fleet_pb2.Welcome(
        protocol_version=protocol_version,
        epoch=7,
        heartbeat_interval_ms=heartbeat_interval_ms,
        keep=keep,
        cancel=cancel,
    )
    return down(fleet_pb2.AttachResponse(welcome=message))


def goodbye(reason: fleet_pb2.GoodbyeReason.ValueType) -> Received:
    return down(fleet_pb2.AttachResponse(goodbye=fleet_pb2.Goodbye(reason=reason)))


def cancel(attempt: AttemptKey) -> Received:
    message = fleet_pb2.CancelAttempt(attempt=attempt.ref, reason="by ada")
    return down(fleet_pb2.AttachResponse(cancel=message))


def take(
    state: LinkState, event: Event, now_s: int = 100, chance: float = 0.5
) -> tuple[LinkState, list[Effect]]:
    after, effects = core.step(state, event, now_ns=int(now_s * S), chance=chance)
    return after, [effect for effect in effects if not isinstance(effect, Note)]


KILL = KillAttempt(attempt=JOB, reason="by ada")
LOST = [Detached(), CloseStream(session=3)]

CASES = [
    pytest.param(
        replace(LinkState(), unreported=frozenset({JOB})),
        Tick(),
        [OpenStream(session=1, held=(JOB,))],
        id="a fresh link opens its stream and says what it holds",
    ),
    pytest.param(LinkState(wake_at_ns=101 * S), Tick(), [], id="a waiting link waits"),
    pytest.param(GREETING, welcome(), [Attached(epoch=7), Claim(epoch=7)], id="welcomed, it claims"),
    pytest.param(
        replace(GREETING, running=JOB), welcome(keep=[JOB.ref]), [Attached(epoch=7)], id="busy, it does not"
    ),
    pytest.param(
        replace(GREETING, running=JOB),
        welcome(cancel=[JOB.ref]),
        [Attached(epoch=7), KillAttempt(attempt=JOB, reason="the coordinator gave it up", forget=True)],
        id="what a welcome cancels is killed and forgotten",
    ),
    pytest.param(
        replace(GREETING, unreported=frozenset({OTHER})),
        welcome(cancel=[OTHER.ref]),
        [Attached(epoch=7), ForgetReports(attempt=OTHER, reason="the coordinator gave it up")],
        id="so are reports",
    ),
    pytest.param(
        replace(GREETING, unreported=frozenset({OTHER})),
        welcome(keep=[OTHER.ref]),
        [Attached(epoch=7)],
        id="reports go before the next claim",
    ),
    pytest.param(
        GREETING, welcome(protocol_version=PROTOCOL_VERSION + 1), LOST, id="another protocol: drain"
    ),
    pytest.param(replace(GREETING, wake_at_ns=99 * S), Tick(), LOST, id="no welcome in time"),
    pytest.param(ATTACHED, down(NUDGE), [Claim(epoch=7)], id="nudged, it claims"),
    pytest.param(RUNNING, down(NUDGE), [], id="nudged while busy"),
    pytest.param(replace(ATTACHED, claim_in_flight=True), down(NUDGE), [], id="nudged while claiming"),
    pytest.param(ATTACHED, down(NUDGE, session=2), [], id="the last words of an older stream"),
    pytest.param(RUNNING, cancel(JOB), [KILL], id="cancelled, it kills"),
    pytest.param(RUNNING, cancel(OTHER), [], id="not for another attempt"),
    pytest.param(
        RUNNING,
        LeaseLost(attempt=JOB, reason="another board has it"),
        [KillAttempt(attempt=JOB, reason="lease lost: another board has it", forget=True)],
        id="a lost lease kills and forgets",
    ),
    pytest.param(
        replace(ATTACHED, unreported=frozenset({JOB})),
        LeaseLost(attempt=JOB, reason="expired"),
        [],
        id="but what has ended is delivered as late evidence",
    ),
    pytest.param(
        replace(ATTACHED, heartbeat_at_ns=100 * S),
        Tick(),
        [SendHeartbeat(session=3, sequence=1)],
        id="a heartbeat is due",
    ),
    pytest.param(replace(ATTACHED, heard_at_ns=70 * S), Tick(), LOST, id="three heartbeats unanswered"),
    pytest.param(RUNNING, StreamLost(session=3, detail="broken pipe"), LOST, id="the stream breaks"),
    pytest.param(RUNNING, StreamLost(session=2, detail="cancelled"), [], id="an older stream ends"),
    pytest.param(
        RUNNING,
        goodbye(fleet_pb2.GOODBYE_REASON_SUPERSEDED),
        [
            KillAttempt(attempt=JOB, reason="the agent was stopped", device_failed=True),
            Stop(exit_code=core.EXIT_SUPERSEDED),
        ],
        id="superseded: for good",
    ),
    pytest.param(
        ATTACHED,
        StreamLost(session=3, detail="", refusal=refusal_pb2.REFUSAL_REASON_SESSION_SUPERSEDED),
        [Stop(exit_code=core.EXIT_SUPERSEDED)],
        id="superseded, told by a refusal",
    ),
    pytest.param(ATTACHED, goodbye(fleet_pb2.GOODBYE_REASON_SHUTTING_DOWN), LOST, id="it shuts down"),
    pytest.param(ATTACHED, goodbye(fleet_pb2.GOODBYE_REASON_SILENT), LOST, id="it found us silent"),
    pytest.param(ATTACHED, goodbye(fleet_pb2.GOODBYE_REASON_PROTOCOL_MISMATCH), LOST, id="mismatch"),
    pytest.param(
        replace(ATTACHED, claim_in_flight=True),
        ClaimAnswered(assignment=ASSIGNMENT),
        [StartAttempt(assignment=ASSIGNMENT)],
        id="a job comes",
    ),
    pytest.param(
        replace(ATTACHED, claim_in_flight=True), ClaimAnswered(assignment=None), [Rest()], id="no job"
    ),
    pytest.param(
        replace(ATTACHED, claim_in_flight=True, claim_wanted=True),
        ClaimAnswered(assignment=None),
        [Rest(), Claim(epoch=7)],
        id="no job, but nudged meanwhile",
    ),
    pytest.param(
        replace(ATTACHED, claim_in_flight=True),
        ClaimFailed(detail="unavailable"),
        [],
        id="a failed claim waits",
    ),
    pytest.param(
        replace(ATTACHED, claim_retry_at_ns=99 * S), Tick(), [Claim(epoch=7)], id="and is made once more"
    ),
    pytest.param(RUNNING, AttemptEnded(attempt=JOB, spooled=True), [], id="its reports are due first"),
    pytest.param(
        RUNNING, AttemptEnded(attempt=JOB, spooled=False), [Claim(epoch=7)], id="forgotten: the board is free"
    ),
    pytest.param(
        replace(ATTACHED, unreported=frozenset({JOB})),
        ReportsDelivered(attempt=JOB),
        [Claim(epoch=7)],
        id="delivered: the board is free",
    ),
    pytest.param(
        replace(RUNNING, running_reported=True),
        AttemptEnded(attempt=JOB, spooled=True),
        [Claim(epoch=7)],
        id="delivered before its worker said that it ended",
    ),
    pytest.param(
        RUNNING,
        StopRequested(detail="SIGTERM"),
        [
            KillAttempt(attempt=JOB, reason="the agent was stopped", device_failed=True),
            Stop(exit_code=0),
        ],
        id="asked to stop",
    ),
    pytest.param(replace(RUNNING, phase=Phase.STOPPED), StopRequested(detail="SIGINT"), [], id="once only"),
    pytest.param(
        replace(ATTACHED, phase=Phase.STOPPED, claim_in_flight=True),
        ClaimAnswered(assignment=ASSIGNMENT),
        [],
        id="a job that comes too late is not started",
    ),
]


@pytest.mark.parametrize(("state", "event", "effects"), CASES)
def test_step(state: LinkState, event: Event, effects: list[Effect]) -> None:
    assert take(state, event)[1] == effects


def test_failures_wait_longer_and_a_heartbeat_answered_forgives_them() -> None:
    state = ATTACHED
    waits: list[int] = []
    for _ in range(10):
        state, _ = take(replace(state, phase=Phase.ATTACHED), StreamLost(session=3, detail="x"), chance=1.0)
        waits.append(state.wake_at_ns - 100 * S)
    assert waits == sorted(waits)
    assert waits[-1] == backoff.CAP_NS
    ack = down(fleet_pb2.AttachResponse(heartbeat_ack=fleet_pb2.HeartbeatAck(sequence=1)))
    assert take(replace(state, phase=Phase.ATTACHED), ack)[0].failures == 0


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(
            StreamLost(session=3, detail="revoked", refusal=refusal_pb2.REFUSAL_REASON_DEVICE_UNKNOWN),
            id="unknown device",
        ),
        pytest.param(goodbye(fleet_pb2.GOODBYE_REASON_PROTOCOL_MISMATCH), id="protocol mismatch"),
    ],
)
def test_what_only_a_person_cures_is_retried_slowly(event: Event) -> None:
    state, _ = take(ATTACHED, event, chance=0.0)
    assert state.wake_at_ns - 100 * S == backoff.SLOW_NS // 2


def test_the_same_failure_is_said_once() -> None:
    def level(state: LinkState) -> tuple[LinkState, int]:
        state, effects = core.step(state, StreamLost(session=3, detail="refused"), now_ns=100 * S, chance=0.5)
        return state, next(effect.level for effect in effects if isinstance(effect, Note))

    state, first = level(ATTACHED)
    _, second = level(replace(state, phase=Phase.GREETING))
    assert (first, second) == (logging.WARNING, logging.DEBUG)


@pytest.mark.parametrize(
    ("told_ms", "interval_ns"),
    [
        (0, core.USUAL_HEARTBEAT_NS),
        (1, core.MIN_HEARTBEAT_NS),
        (2_000, 2 * S),
        (2**60, core.MAX_HEARTBEAT_NS),
    ],
)
def test_the_heartbeat_interval_is_the_coordinators_within_bounds(told_ms: int, interval_ns: int) -> None:
    assert take(GREETING, welcome(heartbeat_interval_ms=told_ms))[0].heartbeat_interval_ns == interval_ns


@pytest.mark.parametrize(
    ("state", "deadline_ns"),
    [
        pytest.param(LinkState(wake_at_ns=5), 5, id="the next try"),
        pytest.param(GREETING, 115 * S, id="the welcome"),
        pytest.param(ATTACHED, 110 * S, id="the next heartbeat"),
        pytest.param(replace(ATTACHED, heard_at_ns=75 * S), 105 * S, id="the last answer"),
        pytest.param(replace(ATTACHED, claim_retry_at_ns=101 * S), 101 * S, id="the next claim"),
        pytest.param(LinkState(phase=Phase.STOPPED), None, id="nothing"),
    ],
)
def test_deadline(state: LinkState, deadline_ns: int | None) -> None:
    assert core.deadline_ns(state) == deadline_ns
