"""Variants on their way: waiting, converting, ready or failed. One row serves every study that wants it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from edgemeter_coordinator.store.database import now_ms
from edgemeter_coordinator.store.schema import jobs, studies, study_variants, variants
from edgemeter_protos.v1 import variant_pb2


@dataclass(frozen=True, kw_only=True, slots=True)
class VariantRow:
    id: str
    model_digest: str
    dataset_digest: str
    recipe: str
    state: str
    manifest: variant_pb2.Manifest | None
    error: str
    ended_at_ms: int | None

    @property
    def name(self) -> str:
        """What people call it, beside its id."""
        return self.recipe


def states(connection: Connection, ids: Iterable[str]) -> dict[str, str]:
    """State by id, of those that exist."""
    found = connection.execute(select(variants.c.id, variants.c.state).where(variants.c.id.in_(list(ids))))
    return {row.id: row.state for row in found}


def get(connection: Connection, variant_id: str) -> VariantRow | None:
    row = connection.execute(select(variants).where(variants.c.id == variant_id)).one_or_none()
    return _variant(row) if row else None


def referred(connection: Connection, reference: str) -> list[VariantRow]:
    """Those whose id starts with `reference`."""
    rows = connection.execute(select(variants).where(variants.c.id.startswith(reference, autoescape=True)))
    return [_variant(row) for row in rows]


def newest(
    connection: Connection, limit: int, *, model_digest: str | None = None, state: str | None = None
) -> list[VariantRow]:
    """The newest first, of one model and in one state where these are given."""
    query = select(variants).order_by(variants.c.created_at_ms.desc(), variants.c.id).limit(limit)
    if model_digest is not None:
        query = query.where(variants.c.model_digest == model_digest)
    if state is not None:
        query = query.where(variants.c.state == state)
    return [_variant(row) for row in connection.execute(query)]


def under_way(connection: Connection, model_digest: str) -> bool:
    """Whether any variant of a model waits or is converting."""
    query = select(variants.c.id).where(
        variants.c.model_digest == model_digest, variants.c.state.in_(["waiting", "converting"])
    )
    return connection.execute(query.limit(1)).first() is not None


def await_build(
    connection: Connection, variant_id: str, *, model_digest: str, dataset_digest: str, recipe: str
) -> None:
    """Puts a variant into state waiting: a new one, or one that failed."""
    retried = connection.execute(
        update(variants)
        .where(variants.c.id == variant_id, variants.c.state == "failed")
        .values(state="waiting", dataset_digest=dataset_digest, error="", ended_at_ms=None)
    )
    if retried.rowcount:
        return
    connection.execute(
        insert(variants).values(
            id=variant_id,
            model_digest=model_digest,
            dataset_digest=dataset_digest,
            recipe=recipe,
            state="waiting",
            created_at_ms=now_ms(connection),
        )
    )


def take_waiting(connection: Connection, limit: int) -> list[VariantRow]:
    """The oldest that wait, now converting."""
    rows = connection.execute(
        select(variants)
        .where(variants.c.state == "waiting")
        .order_by(variants.c.created_at_ms, variants.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    ).all()
    connection.execute(
        update(variants).where(variants.c.id.in_([row.id for row in rows])).values(state="converting")
    )
    return [_variant(row) for row in rows]


def put_back(connection: Connection) -> int:
    """All that were converting when the service stopped wait again. Returns how many."""
    return connection.execute(
        update(variants).where(variants.c.state == "converting").values(state="waiting")
    ).rowcount


def ready(connection: Connection, variant_id: str, manifest: variant_pb2.Manifest) -> bool:
    """Ends a conversion well. False where the variant is no longer converting."""
    return _end(connection, variant_id, state="ready", manifest=manifest.SerializeToString())


def failed(connection: Connection, variant_id: str, error: str) -> bool:
    """Ends a conversion with its reason. False where the variant is no longer converting."""
    return _end(connection, variant_id, state="failed", error=error)


def needed_by_this_alone(connection: Connection, study_id: str) -> list[str]:
    """Variants of a study that are waiting or converting, and that no other study waits for."""
    others = (
        select(study_variants.c.variant_id)
        .join(studies, studies.c.id == study_variants.c.study_id)
        .join(jobs, jobs.c.study_id == studies.c.id)
        .where(studies.c.id != study_id, studies.c.cancelled_at_ms.is_(None), jobs.c.state == "waiting")
    )
    found = connection.execute(
        select(variants.c.id)
        .join(study_variants, study_variants.c.variant_id == variants.c.id)
        .where(
            study_variants.c.study_id == study_id,
            variants.c.state.in_(["waiting", "converting"]),
            variants.c.id.not_in(others),
        )
    )
    return list(found.scalars())


def give_up(connection: Connection, ids: Sequence[str], error: str) -> None:
    """Fails variants that are not wanted any more; a later study tries them again."""
    connection.execute(
        update(variants)
        .where(variants.c.id.in_(ids), variants.c.state.in_(["waiting", "converting"]))
        .values(state="failed", error=error, ended_at_ms=now_ms(connection))
    )


def _end(connection: Connection, variant_id: str, **values: Any) -> bool:
    ended = connection.execute(
        update(variants)
        .where(variants.c.id == variant_id, variants.c.state == "converting")
        .values(ended_at_ms=now_ms(connection), **values)
    )
    return bool(ended.rowcount)


def _variant(row: Row[Any]) -> VariantRow:
    return VariantRow(
        id=row.id,
        model_digest=row.model_digest,
        dataset_digest=row.dataset_digest,
        recipe=row.recipe,
        state=row.state,
        manifest=variant_pb2.Manifest.FromString(row.manifest) if row.manifest is not None else None,
        error=row.error,
        ended_at_ms=row.ended_at_ms,
    )
