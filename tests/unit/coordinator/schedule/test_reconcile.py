from __future__ import annotations

import pytest

from edgemeter_coordinator.schedule.leases import AttemptOutcome, Job, JobState
from edgemeter_coordinator.schedule.reconcile import Held, reconcile

RUNNING, QUEUED = JobState.RUNNING, JobState.QUEUED
LOST, FAILED = AttemptOutcome.LOST, AttemptOutcome.DEVICE_FAILED


def job(
    name: str,
    state: JobState,
    attempt: int = 1,
    outcome: AttemptOutcome | None = None,
    *,
    device: str = "board",
    age: int = 0,
) -> Job:
    return Job(
        id=name,
        study_id="study",
        device_id=device,
        state=state,
        attempt=attempt,
        outcome=outcome,
        lease_expires_at_ms=500 if state is RUNNING else None,
        created_at_ms=age,
    )


@pytest.mark.parametrize(
    ("held", "jobs", "keep", "changed"),
    [
        pytest.param([], [], [], {}, id="an idle board"),
        pytest.param([("a", 1)], [job("a", RUNNING)], ["a"], {"a": RUNNING}, id="it runs what it should"),
        pytest.param([], [job("a", RUNNING)], [], {"a": QUEUED}, id="it was restarted and knows nothing"),
        pytest.param(
            [("a", 1)], [job("a", QUEUED, 1, LOST)], ["a"], {"a": RUNNING}, id="it was out of reach"
        ),
        pytest.param([("a", 1)], [job("a", QUEUED, 1, FAILED)], [], {}, id="it ended that one itself"),
        pytest.param([("a", 1)], [job("a", RUNNING, 2)], [], {"a": QUEUED}, id="an attempt of long ago"),
        pytest.param([("a", 1)], [job("a", JobState.CANCELLED)], [], {}, id="cancelled meanwhile"),
        pytest.param([("a", 1)], [job("a", JobState.COMPLETED)], [], {}, id="reported, the answer was lost"),
        pytest.param([("a", 1)], [], [], {}, id="a job of another coordinator"),
        pytest.param([("a", 1)], [job("a", RUNNING, device="other")], [], {}, id="another board's job"),
        pytest.param(
            [("a", 1), ("b", 1)],
            [job("a", QUEUED, 1, LOST), job("b", RUNNING)],
            ["a", "b"],
            {"b": RUNNING},
            id="reports of a lost one while another runs: heard, but not adopted",
        ),
        pytest.param(
            [("b", 1), ("a", 1)],
            [job("a", QUEUED, 1, LOST, age=1), job("b", QUEUED, 1, LOST, age=2)],
            ["b", "a"],
            {"a": RUNNING},
            id="of two lost ones the older is adopted",
        ),
        pytest.param(
            [("a", 1)],
            [job("a", QUEUED, 1, LOST), job("b", RUNNING)],
            ["a"],
            {"b": QUEUED, "a": RUNNING},
            id="a claim whose answer was lost makes room",
        ),
        pytest.param(
            [("a", 1), ("a", 1)], [job("a", RUNNING)], ["a"], {"a": RUNNING}, id="said twice, meant once"
        ),
    ],
)
def test_reconcile(
    held: list[tuple[str, int]], jobs: list[Job], keep: list[str], changed: dict[str, JobState]
) -> None:
    attempts = [Held(job_id=name, attempt=number) for name, number in held]
    outcome = reconcile(attempts, {each.id: each for each in jobs}, device_id="board", now_ms=1000, ttl_ms=60)
    assert [attempt.job_id for attempt in outcome.keep] == keep
    assert set(outcome.keep) | set(outcome.cancel) == set(attempts)
    assert not set(outcome.keep) & set(outcome.cancel)
    assert {each.id: each.state for each in outcome.changed} == changed
    for each in outcome.changed:
        assert each.lease_expires_at_ms == (1060 if each.state is RUNNING else None)
    # The order of writes: room is made before it is taken.
    states = [each.state for each in outcome.changed]
    assert states == sorted(states)
