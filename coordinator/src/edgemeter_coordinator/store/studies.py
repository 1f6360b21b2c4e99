"""Studies and the variants that they want."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Select, func, insert, or_, select, update

from edgemeter_coordinator.schedule.planning import PlannedVariant
from edgemeter_coordinator.store.database import now_ms
from edgemeter_coordinator.store.schema import datasets, jobs, models, studies, study_variants, variants
from edgemeter_protos.v1 import plan_pb2, variant_pb2


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRow:
    id: str
    name: str
    model_digest: str
    model_name: str
    dataset_digest: str
    dataset_name: str
    plan: plan_pb2.Plan
    created_by: str
    created_at_ms: int
    cancelled_at_ms: int | None


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyVariantRow:
    """A variant as one study sees it: failed for good where its jobs went on without it."""

    study_id: str
    variant_id: str
    recipe: str
    state: str
    reused: bool
    error: str
    manifest: variant_pb2.Manifest | None


def add(
    connection: Connection,
    *,
    study_id: str,
    name: str,
    model_digest: str,
    dataset_digest: str,
    plan: plan_pb2.Plan,
    created_by: str,
    planned: Sequence[PlannedVariant],
) -> None:
    """Inserts a study and which variants it wants; their rows exist already. The first is the baseline."""
    connection.execute(
        insert(studies).values(
            id=study_id,
            name=name,
            model_digest=model_digest,
            dataset_digest=dataset_digest,
            plan=plan.SerializeToString(),
            created_by=created_by,
            created_at_ms=now_ms(connection),
        )
    )
    connection.execute(
        insert(study_variants),
        [
            {
                "study_id": study_id,
                "position": position,
                "variant_id": variant.variant_id,
                "reused": variant.reused,
            }
            for position, variant in enumerate(planned)
        ],
    )


def free_name(connection: Connection, model_name: str) -> str:
    """The first "<model>-<n>" that no study has."""
    prefix = f"{model_name}-"
    taken = set(
        connection.execute(
            select(studies.c.name).where(studies.c.name.startswith(prefix, autoescape=True))
        ).scalars()
    )
    number = 1
    while f"{prefix}{number}" in taken:
        number += 1
    return f"{prefix}{number}"


def name_taken(connection: Connection, name: str) -> bool:
    return connection.execute(select(func.count()).where(studies.c.name == name)).scalar_one() > 0


def get(connection: Connection, study_id: str) -> StudyRow | None:
    row = connection.execute(_studies().where(studies.c.id == study_id)).one_or_none()
    return _study(row) if row else None


def referred(connection: Connection, reference: str) -> list[StudyRow]:
    """Those whose name is `reference` or whose id starts with it."""
    matches = or_(studies.c.name == reference, studies.c.id.startswith(reference, autoescape=True))
    return [_study(row) for row in connection.execute(_studies().where(matches))]


def newest(connection: Connection, limit: int, part_of: str = "") -> list[StudyRow]:
    """Of all, or of those whose name is `part_of`, a slash, and more."""
    wanted = _studies()
    if part_of:
        wanted = wanted.where(studies.c.name.startswith(f"{part_of}/", autoescape=True))
    ordered = wanted.order_by(studies.c.created_at_ms.desc(), studies.c.id.desc()).limit(limit)
    return [_study(row) for row in connection.execute(ordered)]


def names(connection: Connection) -> list[str]:
    return list(connection.execute(select(studies.c.name).order_by(studies.c.name)).scalars())


def variants_of(connection: Connection, study_ids: Sequence[str]) -> dict[str, list[StudyVariantRow]]:
    """By study, the baseline first."""
    found: dict[str, list[StudyVariantRow]] = {study_id: [] for study_id in study_ids}
    for row in connection.execute(
        select(
            study_variants.c.study_id,
            study_variants.c.variant_id,
            study_variants.c.reused,
            study_variants.c.error.label("gone_without"),
            variants.c.recipe,
            variants.c.state,
            variants.c.error,
            variants.c.manifest,
        )
        .join(variants, variants.c.id == study_variants.c.variant_id)
        .where(study_variants.c.study_id.in_(study_ids))
        .order_by(study_variants.c.study_id, study_variants.c.position)
    ):
        found[row.study_id].append(
            StudyVariantRow(
                study_id=row.study_id,
                variant_id=row.variant_id,
                recipe=row.recipe,
                state=row.state if row.gone_without is None else "failed",
                reused=row.reused,
                error=row.error if row.gone_without is None else row.gone_without,
                manifest=variant_pb2.Manifest.FromString(row.manifest) if row.manifest is not None else None,
            )
        )
    return found


def go_without(connection: Connection, study_id: str, failed: Iterable[StudyVariantRow]) -> None:
    """Notes that a study's jobs don't measure these: whatever becomes of them later is another study's."""
    for variant in failed:
        connection.execute(
            update(study_variants)
            .where(study_variants.c.study_id == study_id, study_variants.c.variant_id == variant.variant_id)
            .values(error=variant.error)
        )


def wanting(connection: Connection, *variant_ids: str) -> list[str]:
    """Studies that want any of these variants and whose jobs still wait."""
    return list(
        connection.execute(
            select(study_variants.c.study_id)
            .join(studies, studies.c.id == study_variants.c.study_id)
            .join(jobs, jobs.c.study_id == studies.c.id)
            .where(
                study_variants.c.variant_id.in_(variant_ids),
                studies.c.cancelled_at_ms.is_(None),
                jobs.c.state == "waiting",
            )
            .distinct()
        ).scalars()
    )


def cancel(connection: Connection, study_id: str) -> None:
    connection.execute(
        update(studies)
        .where(studies.c.id == study_id, studies.c.cancelled_at_ms.is_(None))
        .values(cancelled_at_ms=now_ms(connection))
    )


def _studies() -> Select[Any]:
    return (
        select(studies, models.c.name.label("model_name"), datasets.c.name.label("dataset_name"))
        .join(models, models.c.digest == studies.c.model_digest)
        .join(datasets, datasets.c.digest == studies.c.dataset_digest)
    )


def _study(row: Row[Any]) -> StudyRow:
    return StudyRow(
        id=row.id,
        name=row.name,
        model_digest=row.model_digest,
        model_name=row.model_name,
        dataset_digest=row.dataset_digest,
        dataset_name=row.dataset_name,
        plan=plan_pb2.Plan.FromString(row.plan),
        created_by=row.created_by,
        created_at_ms=row.created_at_ms,
        cancelled_at_ms=row.cancelled_at_ms,
    )
