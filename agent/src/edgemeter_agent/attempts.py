"""Names one lease of a job, as a value that can be a key."""

from __future__ import annotations

from dataclasses import dataclass

from edgemeter_protos.v1 import fleet_pb2


@dataclass(frozen=True, order=True)
class AttemptKey:
    """An AttemptRef that can be hashed and compared."""

    job_id: str
    attempt: int

    @classmethod
    def of(cls, ref: fleet_pb2.AttemptRef) -> AttemptKey:
        return cls(ref.job_id, ref.attempt)

    @property
    def ref(self) -> fleet_pb2.AttemptRef:
        return fleet_pb2.AttemptRef(job_id=self.job_id, attempt=self.attempt)

    def __str__(self) -> str:
        return f"job {self.job_id} attempt {self.attempt}"
