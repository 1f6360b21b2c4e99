"""Whatever happens, in whatever order, some things hold."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edgemeter_agent.attempts import AttemptKey
from edgemeter_agent.link import backoff, core
from edgemeter_agent.link.effects import (
    Claim,
    CloseStream,
    Effect,
    ForgetReports,
    KillAttempt,
    OpenStream,
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

chances = st.floats(0, 1, exclude_max=True)
reasons = st.sampled_from(fleet_pb2.GoodbyeReason.values())
refused = st.sampled_from(refusal_pb2.RefusalReason.values())
rarely = st.sampled_from([False] * 9 + [True])


class Board(RuleBasedStateMachine):
    """The world around the core: what it asked for happens, late, early, twice or not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.state = LinkState()
        self.now_ns = 0
        self.open_streams: set[int] = set()
        self.claims = 0
        self.running: AttemptKey | None = None
        self.spool: set[AttemptKey] = set()
        self.to_forget: list[AttemptKey] = []
        self.jobs = 0
        self.stopped = False
        # Most runs must not end at the first goodbye.
        self.mortal = False

    @initialize(mortal=rarely)
    def born(self, mortal: bool) -> None:
        self.mortal = mortal
        self.attach()

    def happen(self, event: Event, chance: float = 0.5, later_ns: int = 0) -> tuple[Effect, ...]:
        self.now_ns += later_ns
        self.state, effects = core.step(self.state, event, now_ns=self.now_ns, chance=chance)
        for effect in effects:
            self.carry_out(effect)
        return effects

    def carry_out(self, effect: Effect) -> None:
        match effect:
            case OpenStream():
                assert not self.open_streams, "two streams at once"
                assert set(effect.held) == self.spool | ({self.running} - {None})
                self.open_streams.add(effect.session)
            case CloseStream():
                self.open_streams.discard(effect.session)
            case SendHeartbeat():
                assert effect.session in self.open_streams
            case Claim():
                assert self.claims == 0, "two claims in flight"
                assert self.running is None, "a claim while an attempt runs"
                assert not self.spool, "a claim before reports are delivered"
                assert not self.stopped
                self.claims += 1
            case StartAttempt():
                assert self.running is None
                self.running = AttemptKey.of(effect.assignment.attempt)
            case ForgetReports():
                self.to_forget.append(effect.attempt)
            case Stop():
                self.stopped = True

    @rule(chance=chances, later_ns=st.integers(0, 4 * 10**9))
    def time_passes(self, chance: float, later_ns: int) -> None:
        self.happen(Tick(), chance, later_ns)

    @rule(chance=chances)
    def deadline_comes(self, chance: float) -> None:
        deadline_ns = core.deadline_ns(self.state)
        if deadline_ns is not None:
            before = self.state
            self.happen(Tick(), chance, max(0, deadline_ns - self.now_ns))
            # A deadline that changes nothing would make the loop spin.
            assert core.deadline_ns(self.state) != deadline_ns or self.state != before

    def down(self, session: int, message: fleet_pb2.AttachResponse) -> tuple[Effect, ...]:
        return self.happen(Received(session=session, message=message))

    @precondition(lambda self: self.state.phase is Phase.WAITING)
    @rule()
    def attach(self) -> None:
        self.deadline_comes(0.5)
        self.welcome(stale=False, cancels=False, version=PROTOCOL_VERSION)
        assert self.state.phase is Phase.ATTACHED

    @precondition(lambda self: self.open_streams)
    @rule(stale=rarely, cancels=rarely, version=st.sampled_from([PROTOCOL_VERSION, 99]))
    def welcome(self, stale: bool, cancels: bool, version: int) -> None:
        held = [attempt.ref for attempt in core.held(self.state)] if cancels else []
        session = self.state.session - stale
        welcome = fleet_pb2.Welcome(
            protocol_version=version, epoch=session + 1, heartbeat_interval_ms=1000, cancel=held
        )
        self.down(session, fleet_pb2.AttachResponse(welcome=welcome))

    @precondition(lambda self: self.open_streams)
    @rule(stale=rarely)
    def nudge(self, stale: bool) -> None:
        self.down(self.state.session - stale, fleet_pb2.AttachResponse(nudge=fleet_pb2.Nudge()))

    @precondition(lambda self: self.open_streams)
    @rule()
    def ack(self) -> None:
        self.down(self.state.session, fleet_pb2.AttachResponse(heartbeat_ack=fleet_pb2.HeartbeatAck()))

    @precondition(lambda self: self.open_streams)
    @rule(reason=reasons)
    def goodbye(self, reason: fleet_pb2.GoodbyeReason.ValueType) -> None:
        if reason == fleet_pb2.GOODBYE_REASON_SUPERSEDED and not self.mortal:
            return
        goodbye = fleet_pb2.Goodbye(reason=reason)
        self.down(self.state.session, fleet_pb2.AttachResponse(goodbye=goodbye))

    @precondition(lambda self: self.running is not None and self.open_streams and not self.stopped)
    @rule()
    def cancel(self) -> None:
        assert self.running is not None
        cancel = fleet_pb2.CancelAttempt(attempt=self.running.ref, reason="x")
        effects = self.down(self.state.session, fleet_pb2.AttachResponse(cancel=cancel))
        assert [effect.attempt for effect in effects if isinstance(effect, KillAttempt)] == [self.running]

    @precondition(lambda self: self.running is not None and not self.stopped)
    @rule()
    def lease_lost(self) -> None:
        assert self.running is not None
        effects = self.happen(LeaseLost(attempt=self.running, reason="x"))
        assert [effect.attempt for effect in effects if isinstance(effect, KillAttempt)] == [self.running]

    @precondition(lambda self: self.open_streams)
    @rule(stale=rarely, refusal=refused, chance=chances)
    def stream_lost(self, stale: bool, refusal: refusal_pb2.RefusalReason.ValueType, chance: float) -> None:
        if refusal == refusal_pb2.REFUSAL_REASON_SESSION_SUPERSEDED and not self.mortal:
            return
        session = self.state.session - stale
        self.open_streams.discard(session)
        before_ns, waited = self.now_ns, self.state.phase is Phase.WAITING
        self.happen(StreamLost(session=session, detail="lost", refusal=refusal), chance)
        if self.state.phase is Phase.WAITING and not waited:
            assert backoff.FLOOR_NS <= self.state.wake_at_ns - before_ns <= backoff.SLOW_NS

    @precondition(lambda self: self.claims)
    @rule(job=st.sampled_from([True, True, False]))
    def claim_answered(self, job: bool) -> None:
        self.claims -= 1
        self.jobs += job
        ref = fleet_pb2.AttemptRef(job_id=str(self.jobs), attempt=1)
        self.happen(ClaimAnswered(assignment=fleet_pb2.Assignment(attempt=ref) if job else None))

    @precondition(lambda self: self.claims)
    @rule(chance=chances)
    def claim_failed(self, chance: float) -> None:
        self.claims -= 1
        self.happen(ClaimFailed(detail="x"), chance)

    @precondition(lambda self: self.running is not None)
    @rule(spooled=st.booleans(), delivered_first=st.booleans())
    def attempt_ended(self, spooled: bool, delivered_first: bool) -> None:
        attempt, self.running = self.running, None
        assert attempt is not None
        if spooled and delivered_first:
            self.happen(ReportsDelivered(attempt=attempt))
        elif spooled:
            self.spool.add(attempt)
        self.happen(AttemptEnded(attempt=attempt, spooled=spooled))

    @precondition(lambda self: self.spool)
    @rule(data=st.data())
    def delivered(self, data: st.DataObject) -> None:
        attempt = data.draw(st.sampled_from(sorted(self.spool)))
        self.spool.discard(attempt)
        self.happen(ReportsDelivered(attempt=attempt))

    @precondition(lambda self: self.to_forget)
    @rule()
    def forgotten(self) -> None:
        attempt = self.to_forget.pop()
        self.spool.discard(attempt)
        self.happen(ReportsDelivered(attempt=attempt))

    @precondition(lambda self: self.mortal)
    @rule()
    def stop(self) -> None:
        running, was_stopped = self.running, self.stopped
        effects = self.happen(StopRequested(detail="SIGTERM"))
        killed = [effect.attempt for effect in effects if isinstance(effect, KillAttempt)]
        assert killed == ([] if was_stopped or running is None else [running])

    @invariant()
    def the_core_knows_what_runs(self) -> None:
        assert self.state.running == self.running
        assert self.state.unreported == self.spool

    @invariant()
    def a_free_attached_board_with_a_wish_claims(self) -> None:
        state = self.state
        idle = state.phase is Phase.ATTACHED and not (self.running or self.spool or self.claims)
        assert not (idle and state.claim_wanted and state.claim_retry_at_ns is None)

    @invariant()
    def it_always_has_something_to_wait_for(self) -> None:
        assert self.stopped or core.deadline_ns(self.state) is not None


Board.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
TestBoard = Board.TestCase
