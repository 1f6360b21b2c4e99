"""A study's state from its jobs and variants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_coordinator.schedule.leases import ENDED, JobState
from edgemeter_coordinator.schedule.study_state import JobFact, Standing, standing
from edgemeter_protos.v1 import lab_pb2

READY = "ready"
FAILED = "failed"
CONVERTING = "converting"
WAITING = JobFact(state=JobState.WAITING)
QUEUED = JobFact(state=JobState.QUEUED)
RUNNING = JobFact(state=JobState.RUNNING)
DONE = JobFact(state=JobState.COMPLETED, ended_at_ms=50)
DONE_LATER = JobFact(state=JobState.COMPLETED, ended_at_ms=70)
BROKEN = JobFact(state=JobState.FAILED, ended_at_ms=60)


@pytest.mark.parametrize(
    ("variants", "jobs", "cancelled_at_ms", "state", "ended_at_ms"),
    [
        pytest.param([CONVERTING], [WAITING], None, "CONVERTING", None, id="new"),
        pytest.param([READY, CONVERTING], [WAITING], None, "CONVERTING", None, id="part is built"),
        pytest.param([READY], [QUEUED], None, "MEASURING", None, id="built"),
        pytest.param([READY, FAILED], [QUEUED], None, "MEASURING", None, id="the rest is measured"),
        pytest.param([READY], [DONE, RUNNING], None, "MEASURING", None, id="one board is done"),
        pytest.param(
            [READY], [DONE, DONE_LATER], None, "COMPLETED", 70, id="all are done; the last one counts"
        ),
        pytest.param([READY], [DONE, BROKEN], None, "FAILED", 60, id="one board failed"),
        pytest.param([READY, FAILED], [DONE], None, "FAILED", 50, id="a variant failed"),
        pytest.param([FAILED], [BROKEN], None, "FAILED", 60, id="nothing could be built"),
        pytest.param([CONVERTING], [WAITING], 30, "CANCELLED", 30, id="cancelled"),
        pytest.param([READY], [DONE], 30, "CANCELLED", 30, id="a board was done before it was cancelled"),
        pytest.param([READY, CONVERTING], [RUNNING], None, "MEASURING", None, id="the jobs lead"),
    ],
)
def test_standing(
    variants: list[str],
    jobs: list[JobFact],
    cancelled_at_ms: int | None,
    state: str,
    ended_at_ms: int | None,
) -> None:
    assert standing(cancelled_at_ms=cancelled_at_ms, variant_states=variants, jobs=jobs) == Standing(
        state=lab_pb2.StudyState.Value(f"STUDY_STATE_{state}"), ended_at_ms=ended_at_ms
    )


@given(
    st.lists(st.sampled_from([READY, FAILED, CONVERTING]), min_size=1),
    st.lists(st.sampled_from([WAITING, QUEUED, RUNNING, DONE, DONE_LATER, BROKEN]), min_size=1),
)
def test_a_study_has_ended_exactly_when_its_jobs_have(variants: list[str], jobs: list[JobFact]) -> None:
    found = standing(cancelled_at_ms=None, variant_states=variants, jobs=jobs)
    assert (found.ended_at_ms is not None) == all(job.state in ENDED for job in jobs)
