"""Leases under every order of events that a hypothesis can think of, against what must always hold."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgemeter_coordinator.schedule import leases
from edgemeter_coordinator.schedule.leases import MAX_ATTEMPTS, AttemptOutcome, Job, JobState, Standing
from edgemeter_coordinator.schedule.reconcile import Held, reconcile

BOARDS = ("ada", "bell")
JOBS = 4
TTL = 60

boards = st.sampled_from(BOARDS)
# An answer is lost now and then, a memory seldom; else hypothesis loses everything half of the time.
arrives = st.sampled_from([True, True, True, False])
forgets = st.sampled_from([False, False, False, True])
outcomes = st.sampled_from(
    [
        AttemptOutcome.COMPLETED,
        AttemptOutcome.JOB_FAILED,
        AttemptOutcome.DEVICE_FAILED,
        AttemptOutcome.CANCELLED,
    ]
)


@dataclass
class Board:
    """What a board believes: attempts that it runs or has yet to report."""

    held: list[Held] = field(default_factory=list)


class Fleet(RuleBasedStateMachine):
    """Two boards with jobs of their own, a clock, and a network that loses whatever it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.boards = {name: Board() for name in BOARDS}
        self.jobs = {
            f"{name}{number}": Job(
                id=f"{name}{number}",
                study_id="study",
                device_id=name,
                state=JobState.QUEUED,
                attempt=0,
                outcome=None,
                lease_expires_at_ms=None,
                created_at_ms=number,
            )
            for name in BOARDS
            for number in range(JOBS)
        }
        self.fenced: set[Held] = set()
        self.accepted: dict[str, set[int]] = {name: set() for name in self.jobs}

    def save(self, job: Job) -> None:
        before = self.jobs[job.id]
        assert job.attempt in (before.attempt, before.attempt + 1), "attempts only rise, by one"
        assert before.state not in leases.ENDED, "what has ended stays so"
        if job.attempt > before.attempt and before.attempt:
            self.fenced.add(Held(job_id=job.id, attempt=before.attempt))
        if job.state in leases.ENDED or job.outcome is AttemptOutcome.DEVICE_FAILED:
            self.fenced.add(Held(job_id=job.id, attempt=job.attempt))
        self.jobs[job.id] = job

    def busy(self, board: str, but_for: str) -> bool:
        return any(
            job.device_id == board and job.state is JobState.RUNNING and job.id != but_for
            for job in self.jobs.values()
        )

    @rule(board=boards, answer_arrives=arrives)
    def claim(self, board: str, answer_arrives: bool) -> None:
        mine = [job for job in self.jobs.values() if job.device_id == board and job.state not in leases.ENDED]
        decision = leases.claim(mine, now_ms=self.now, ttl_ms=TTL)
        for job in decision.exhausted:
            self.save(job)
        if decision.start is not None:
            self.save(decision.start)
            if answer_arrives:
                attempt = Held(job_id=decision.start.id, attempt=decision.start.attempt)
                self.boards[board].held.append(attempt)

    @precondition(lambda self: self.all_held())
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        board, attempt = data.draw(st.sampled_from(self.all_held()))
        decision = leases.renew(
            self.jobs[attempt.job_id],
            device_id=board,
            attempt=attempt.attempt,
            device_is_busy=self.busy(board, attempt.job_id),
            now_ms=self.now,
            ttl_ms=TTL,
        )
        if decision.job is None:
            self.boards[board].held.remove(attempt)
        else:
            assert attempt not in self.fenced
            self.save(decision.job)

    @precondition(lambda self: self.all_held())
    @rule(data=st.data(), answer_arrives=arrives)
    def report_result(self, data: st.DataObject, answer_arrives: bool) -> None:
        board, attempt = data.draw(st.sampled_from(self.all_held()))
        standing = leases.standing(self.jobs[attempt.job_id], device_id=board, attempt=attempt.attempt)
        assert standing is not Standing.FOREIGN
        if standing is Standing.CURRENT:
            assert attempt not in self.fenced, "nothing is accepted from a fenced attempt"
            self.accepted[attempt.job_id].add(attempt.attempt)
        else:
            assert attempt in self.fenced or self.jobs[attempt.job_id].outcome is not None

    @precondition(lambda self: self.all_held())
    @rule(data=st.data(), outcome=outcomes, answer_arrives=arrives)
    def report_end(self, data: st.DataObject, outcome: AttemptOutcome, answer_arrives: bool) -> None:
        board, attempt = data.draw(st.sampled_from(self.all_held()))
        job = self.jobs[attempt.job_id]
        if leases.standing(job, device_id=board, attempt=attempt.attempt) is Standing.CURRENT:
            assert attempt not in self.fenced
            self.save(leases.end(job, outcome, "said so"))
        if answer_arrives:
            self.boards[board].held.remove(attempt)

    @rule(board=boards, forgets=forgets)
    def attach(self, board: str, forgets: bool) -> None:
        if forgets:
            self.boards[board].held.clear()
        outcome = reconcile(self.boards[board].held, self.jobs, device_id=board, now_ms=self.now, ttl_ms=TTL)
        for job in outcome.changed:
            self.save(job)
        assert not self.fenced & set(outcome.keep)
        self.boards[board].held = list(outcome.keep)

    @precondition(lambda self: self.all_held())
    @rule(data=st.data())
    def meddle(self, data: st.DataObject) -> None:
        """A board speaks of another's attempt."""
        owner, attempt = data.draw(st.sampled_from(self.all_held()))
        (board,) = set(BOARDS) - {owner}
        job = self.jobs[attempt.job_id]
        assert leases.standing(job, device_id=board, attempt=attempt.attempt) is Standing.FOREIGN
        decision = leases.renew(
            job,
            device_id=board,
            attempt=attempt.attempt,
            device_is_busy=False,
            now_ms=self.now,
            ttl_ms=TTL,
        )
        assert decision.job is None

    @rule(passes=st.integers(1, 2 * TTL))
    def time(self, passes: int) -> None:
        self.now += passes

    @rule()
    def sweep(self) -> None:
        for job in list(self.jobs.values()):
            if (after := leases.expired(job, now_ms=self.now)) is not None:
                self.save(after)

    @precondition(lambda self: any(job.state not in leases.ENDED for job in self.jobs.values()))
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        open_jobs = [job for job in self.jobs.values() if job.state not in leases.ENDED]
        after = leases.cancel(data.draw(st.sampled_from(open_jobs)), "by hand")
        assert after is not None
        self.save(after)

    @invariant()
    def one_running_job_a_board(self) -> None:
        for board in BOARDS:
            running = [
                job for job in self.jobs.values() if job.device_id == board and job.state is JobState.RUNNING
            ]
            assert len(running) <= 1

    @invariant()
    def a_running_job_is_leased_and_no_other(self) -> None:
        for job in self.jobs.values():
            running = job.state is JobState.RUNNING
            assert (job.lease_expires_at_ms is not None) == running
            assert not running or job.outcome is None
            assert job.attempt <= MAX_ATTEMPTS

    @invariant()
    def results_that_count_come_from_one_attempt(self) -> None:
        for job in self.jobs.values():
            if job.state is JobState.COMPLETED:
                assert job.attempt >= max(self.accepted[job.id], default=0)

    def teardown(self) -> None:
        """However it came to this: when boards come back and do their work, every job ends."""
        for _ in range(MAX_ATTEMPTS * JOBS + 1):
            for board in BOARDS:
                self.attach(board, forgets=True)
                self.claim(board, answer_arrives=True)
                for attempt in list(self.boards[board].held):
                    job = self.jobs[attempt.job_id]
                    self.save(leases.end(job, AttemptOutcome.COMPLETED, ""))
                    self.boards[board].held.remove(attempt)
        assert all(job.state in leases.ENDED for job in self.jobs.values())

    def all_held(self) -> list[tuple[str, Held]]:
        return [(name, attempt) for name, board in self.boards.items() for attempt in board.held]


Fleet.TestCase.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
TestFleet = Fleet.TestCase
