"""What state a study is in: a pure function of its jobs' and variants' states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgemeter_coordinator.schedule.leases import ENDED, JobState
from edgemeter_protos.v1 import lab_pb2

ENDED_VARIANTS = frozenset({"ready", "failed"})
ENDED_STUDIES = frozenset(
    {lab_pb2.STUDY_STATE_COMPLETED, lab_pb2.STUDY_STATE_FAILED, lab_pb2.STUDY_STATE_CANCELLED}
)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobFact:
    """A job's row as far as it decides a study's state."""

    state: JobState
    ended_at_ms: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """Where a study stands; `ended_at_ms` is None until it has ended."""

    state: lab_pb2.StudyState.ValueType
    ended_at_ms: int | None


def standing(
    *, cancelled_at_ms: int | None, variant_states: Sequence[str], jobs: Sequence[JobFact]
) -> Standing:
    """Where a study stands; `variant_states` as the study sees them.

    The jobs lead: a job is 'waiting' for as long as its variants are being built.
    """
    if cancelled_at_ms is not None:
        return Standing(state=lab_pb2.STUDY_STATE_CANCELLED, ended_at_ms=cancelled_at_ms)
    states = {job.state for job in jobs}
    if JobState.WAITING in states:
        return Standing(state=lab_pb2.STUDY_STATE_CONVERTING, ended_at_ms=None)
    if states - ENDED:
        return Standing(state=lab_pb2.STUDY_STATE_MEASURING, ended_at_ms=None)
    ended_at_ms = max((job.ended_at_ms or 0 for job in jobs), default=0)
    whole = states == {JobState.COMPLETED} and all(state == "ready" for state in variant_states)
    state = lab_pb2.STUDY_STATE_COMPLETED if whole else lab_pb2.STUDY_STATE_FAILED
    return Standing(state=state, ended_at_ms=ended_at_ms)
