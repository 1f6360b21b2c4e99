"""What attempts said of variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, select

from edgemeter_coordinator.store.database import now_ms
from edgemeter_coordinator.store.schema import jobs, results, study_variants
from edgemeter_protos.v1.result_pb2 import Result
from edgemeter_protos.v1.variant_pb2 import Metrics, Quality


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredResult:
    id: str
    study_id: str
    device_id: str
    variant_id: str
    job_id: str
    attempt: int
    # From an attempt that has lost its job, whether before it reported or after.
    late: bool
    result: Result
    # None until it is scored; without a metric's name where labels say nothing of it.
    device_quality: Quality | None
    device_metrics: Sequence[Quality]
    received_at_ms: int


def insert(
    connection: Connection, *, job_id: str, attempt: int, sequence: int, late: bool, result: Result
) -> None:
    """Keeps a result. One with the same id, or the same place in its attempt, must not be there."""
    connection.execute(
        results.insert().values(
            id=result.id,
            job_id=job_id,
            attempt=attempt,
            sequence=sequence,
            variant_id=result.variant_id,
            late=late,
            payload=result.SerializeToString(),
            received_at_ms=now_ms(connection),
        )
    )


def find(connection: Connection, result_id: str) -> tuple[str, int, int] | None:
    """(job id, attempt, sequence) of a result that is here."""
    row = connection.execute(
        select(results.c.job_id, results.c.attempt, results.c.sequence).where(results.c.id == result_id)
    ).one_or_none()
    return None if row is None else (row.job_id, row.attempt, row.sequence)


def is_taken(connection: Connection, job_id: str, attempt: int, sequence: int) -> bool:
    """Whether an attempt has reported a result under this sequence number."""
    row = connection.execute(
        select(results.c.id).where(
            results.c.job_id == job_id, results.c.attempt == attempt, results.c.sequence == sequence
        )
    ).one_or_none()
    return row is not None


def is_reported(connection: Connection, job_id: str, attempt: int, variant_id: str) -> bool:
    """Whether an attempt has reported a result of this variant."""
    row = connection.execute(
        select(results.c.id).where(
            results.c.job_id == job_id, results.c.attempt == attempt, results.c.variant_id == variant_id
        )
    ).first()
    return row is not None


def belongs(connection: Connection, study_id: str, variant_id: str) -> bool:
    """Whether a study measures this variant."""
    statement = select(
        exists().where(study_variants.c.study_id == study_id, study_variants.c.variant_id == variant_id)
    )
    return bool(connection.execute(statement).scalar_one())


def get(connection: Connection, result_id: str) -> StoredResult | None:
    """The result with this id."""
    row = connection.execute(_stored().where(results.c.id == result_id)).one_or_none()
    return None if row is None else _result(row)


def of_study(connection: Connection, study_id: str, include_late: bool = False) -> list[StoredResult]:
    """A study's results, by device and then by the variants' order.

    Those of each job's newest attempt, which are the final ones once the job has completed; with
    `include_late` also those of attempts that lost their job.
    """
    statement = (
        _stored()
        .join(
            study_variants,
            and_(
                study_variants.c.study_id == jobs.c.study_id,
                study_variants.c.variant_id == results.c.variant_id,
            ),
        )
        .where(jobs.c.study_id == study_id)
        .order_by(jobs.c.device_id, study_variants.c.position, results.c.attempt, results.c.sequence)
    )
    if not include_late:
        statement = statement.where(~_late())
    return [_result(row) for row in connection.execute(statement)]


def set_quality(
    connection: Connection, result_id: str, quality: Quality, metrics: Sequence[Quality] = ()
) -> None:
    """Notes what the device's outputs are worth: the first metric against labels, and all of them."""
    connection.execute(
        results.update()
        .where(results.c.id == result_id)
        .values(
            device_quality=quality.SerializeToString(),
            device_metrics=Metrics(metrics=metrics).SerializeToString(),
        )
    )


def unscored(connection: Connection) -> list[str]:
    """Ids of results without a quality, the oldest first."""
    return list(
        connection.execute(
            select(results.c.id)
            .where(results.c.device_quality.is_(None))
            .order_by(results.c.received_at_ms, results.c.id)
        ).scalars()
    )


def _late() -> ColumnElement[bool]:
    return results.c.late | (results.c.attempt != jobs.c.attempt)


def _stored() -> Select[Any]:
    return select(results, jobs.c.study_id, jobs.c.device_id, _late().label("is_late")).join_from(
        results, jobs, jobs.c.id == results.c.job_id
    )


def _result(row: Row[Any]) -> StoredResult:
    return StoredResult(
        id=row.id,
        study_id=row.study_id,
        device_id=row.device_id,
        variant_id=row.variant_id,
        job_id=row.job_id,
        attempt=row.attempt,
        late=row.is_late,
        result=Result.FromString(row.payload),
        device_quality=None if row.device_quality is None else Quality.FromString(row.device_quality),
        device_metrics=Metrics.FromString(row.device_metrics or b"").metrics,
        received_at_ms=row.received_at_ms,
    )
