"""Rows as users see them: protos of the Lab service. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgemeter_converters.models.frameworks import FRAMEWORKS
from edgemeter_coordinator.conversion.engine import Standing as BuildStanding
from edgemeter_coordinator.schedule.leases import JobState
from edgemeter_coordinator.schedule.meter_specs import shown as without_secrets
from edgemeter_coordinator.schedule.study_state import (
    ENDED_STUDIES,
    ENDED_VARIANTS,
    JobFact,
    Standing,
    standing,
)
from edgemeter_coordinator.service.pricing import Price
from edgemeter_coordinator.service.sessions import Progress
from edgemeter_coordinator.store.datasets import DatasetRow
from edgemeter_coordinator.store.devices import Device
from edgemeter_coordinator.store.jobs import StudyJob
from edgemeter_coordinator.store.meters import AttachedMeter
from edgemeter_coordinator.store.models import ModelRow
from edgemeter_coordinator.store.results import StoredResult
from edgemeter_coordinator.store.studies import StudyRow, StudyVariantRow
from edgemeter_coordinator.store.tokens import Token
from edgemeter_coordinator.store.variants import VariantRow
from edgemeter_coordinator.tokens import TokenKind
from edgemeter_protos.v1 import lab_pb2, result_pb2

VARIANT_STATES: Mapping[str, lab_pb2.VariantState.ValueType] = {
    "waiting": lab_pb2.VARIANT_STATE_WAITING,
    "converting": lab_pb2.VARIANT_STATE_CONVERTING,
    "ready": lab_pb2.VARIANT_STATE_READY,
    "failed": lab_pb2.VARIANT_STATE_FAILED,
}
JOB_STATES: Mapping[JobState, lab_pb2.JobState.ValueType] = {
    JobState.WAITING: lab_pb2.JOB_STATE_WAITING,
    JobState.QUEUED: lab_pb2.JOB_STATE_QUEUED,
    JobState.RUNNING: lab_pb2.JOB_STATE_RUNNING,
    JobState.COMPLETED: lab_pb2.JOB_STATE_COMPLETED,
    JobState.FAILED: lab_pb2.JOB_STATE_FAILED,
    JobState.CANCELLED: lab_pb2.JOB_STATE_CANCELLED,
}
TOKEN_KINDS: Mapping[TokenKind, lab_pb2.TokenKind.ValueType] = {
    TokenKind.JOIN: lab_pb2.TOKEN_KIND_JOIN,
    TokenKind.USER: lab_pb2.TOKEN_KIND_USER,
}
UNSCORED = "outputs_unscored"
"""Code of the verdict's reason where a board's outputs could not be scored."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyRows:
    """All that a study's view is made of."""

    study: StudyRow
    variants: Sequence[StudyVariantRow]
    jobs: Sequence[StudyJob]

    @property
    def standing(self) -> Standing:
        return standing(
            cancelled_at_ms=self.study.cancelled_at_ms,
            variant_states=[each.state for each in self.variants],
            jobs=[JobFact(state=each.state, ended_at_ms=each.ended_at_ms) for each in self.jobs],
        )

    @property
    def ended(self) -> bool:
        return self.standing.state in ENDED_STUDIES


@dataclass(frozen=True, kw_only=True, slots=True)
class BoardView:
    """What a job's board is doing, as far as the job's detail tells of it."""

    attached: bool
    running_job_id: str | None


def model(row: ModelRow) -> lab_pb2.Model:
    described = row.description or lab_pb2.Model()
    return lab_pb2.Model(
        macs=described.macs,
        layers=described.layers,
        preprocessing=described.preprocessing,
        trainable=row.framework in FRAMEWORKS and FRAMEWORKS[row.framework].trainable,
        digest=row.digest,
        name=row.name,
        framework=row.framework,
        task=row.task,
        size_bytes=row.size_bytes,
        parameters=row.parameters,
        signature=row.signature,
        vocabulary_digest=described.vocabulary_digest,
        file_name=row.file_name,
        function=row.function,
        given_inputs=row.inputs,
        added_at_unix_ms=row.added_at_ms,
    )


def dataset(row: DatasetRow) -> lab_pb2.Dataset:
    return lab_pb2.Dataset(
        digest=row.digest,
        name=row.name,
        size_bytes=row.size_bytes,
        splits=row.description.splits,
        inputs=row.description.inputs,
        classes=row.description.classes,
        labels=row.description.labels if row.description.HasField("labels") else None,
        vocabulary_digest=row.description.vocabulary_digest,
        # One that was read in a way of the user's own is known by what was read.
        file_name=row.file_name if row.digest != row.canonical_blob else f"{row.name}.npz",
        added_at_unix_ms=row.added_at_ms,
    )


def device(row: Device, running_job_id: str | None, attached: Sequence[AttachedMeter] = ()) -> lab_pb2.Device:
    return lab_pb2.Device(
        id=row.id,
        name=row.name,
        labels=row.labels,
        facts=row.facts,
        attached=row.attached,
        last_seen_unix_ms=row.last_seen_at_ms or 0,
        joined_at_unix_ms=row.joined_at_ms,
        job_id=running_job_id or "",
        meters=[
            lab_pb2.AttachedMeter(
                spec=without_secrets(each.spec),
                attached_by=each.attached_by,
                attached_at_unix_ms=each.attached_at_ms,
            )
            for each in attached
        ],
    )


def token(row: Token) -> lab_pb2.TokenInfo:
    return lab_pb2.TokenInfo(
        id=row.id,
        kind=TOKEN_KINDS[row.kind],
        user=row.user,
        labels=row.labels,
        uses_left=row.uses_left or 0,
        expires_at_unix_ms=row.expires_at_ms or 0,
    )


def study(
    rows: StudyRows,
    *,
    boards: Mapping[str, BoardView] | None = None,
    progress: Mapping[str, Progress] | None = None,
    builds: Mapping[str, BuildStanding] | None = None,
    prices: Mapping[str, Price] | None = None,
) -> lab_pb2.Study:
    """A study with its variants and jobs.

    `boards` go by device id, `progress` by job id, `builds` and `prices` by variant id.
    """
    stands = rows.standing
    row = rows.study
    built = sum(each.state in ENDED_VARIANTS for each in rows.variants)
    waits_for_variants = f"waits for its variants: {built} of {len(rows.variants)} done"
    return lab_pb2.Study(
        id=row.id,
        name=row.name,
        model_name=row.model_name,
        model_digest=row.model_digest,
        dataset_name=row.dataset_name,
        dataset_digest=row.dataset_digest,
        plan=row.plan,
        state=stands.state,
        variants=[
            _variant(each, (builds or {}).get(each.variant_id), (prices or {}).get(each.variant_id))
            for each in rows.variants
        ],
        jobs=[
            _job(
                each,
                (boards or {}).get(each.device_id),
                (progress or {}).get(each.id),
                waits_for_variants,
            )
            for each in rows.jobs
        ],
        created_at_unix_ms=row.created_at_ms,
        ended_at_unix_ms=stands.ended_at_ms or 0,
        created_by=row.created_by,
    )


def result(stored: StoredResult, *, of: lab_pb2.Study, on: lab_pb2.Device) -> lab_pb2.ListResultsResponse:
    """One variant on one device. Outputs that could not be scored lower the verdict, with the reason."""
    manifests = {each.variant_id: each.manifest for each in of.variants}
    response = lab_pb2.ListResultsResponse(
        study=of,
        device=on,
        manifest=manifests.get(stored.variant_id),
        result=stored.result,
        attempt=stored.attempt,
        late=stored.late,
    )
    if of.variants and of.variants[0].manifest.HasField("quality"):
        response.baseline_quality.CopyFrom(of.variants[0].manifest.quality)
    quality = stored.device_quality
    if quality is not None and (quality.metric or quality.unscored_reason):
        response.device_quality.CopyFrom(quality)
    response.device_metrics.extend(stored.device_metrics)
    if quality is not None and quality.unscored_reason:
        verdict = response.result.verdict
        verdict.reasons.add(code=UNSCORED, detail=quality.unscored_reason)
        if verdict.state == result_pb2.VERDICT_STATE_VALID:
            verdict.state = result_pb2.VERDICT_STATE_DEGRADED
    return response


def variant(row: VariantRow, *, model_name: str, dataset_name: str) -> lab_pb2.Variant:
    state = VARIANT_STATES[row.state]
    return lab_pb2.Variant(
        id=row.id,
        model_name=model_name,
        model_digest=row.model_digest,
        dataset_name=dataset_name,
        dataset_digest=row.dataset_digest,
        recipe=row.recipe,
        state=state,
        error=row.error,
        manifest=row.manifest if state == lab_pb2.VARIANT_STATE_READY else None,
        ended_at_unix_ms=row.ended_at_ms or 0,
    )


def _variant(row: StudyVariantRow, build: BuildStanding | None, price: Price | None) -> lab_pb2.StudyVariant:
    state = VARIANT_STATES[row.state]
    shown = lab_pb2.StudyVariant(
        variant_id=row.variant_id,
        recipe=row.recipe,
        state=state,
        reused=row.reused,
        error=row.error,
        manifest=row.manifest if state == lab_pb2.VARIANT_STATE_READY else None,
    )
    if state == lab_pb2.VARIANT_STATE_CONVERTING and build is not None:
        shown.fraction, shown.phase = build.fraction, build.phase
    if price is not None:
        shown.reused_steps = price.reused_steps
        if price.duration_ms is not None:
            shown.estimated_duration_ms = price.duration_ms
    return shown


def _job(
    row: StudyJob, board: BoardView | None, progress: Progress | None, waits_for_variants: str
) -> lab_pb2.Job:
    job = lab_pb2.Job(
        id=row.id,
        device_id=row.device_id,
        device_name=row.device_name,
        state=JOB_STATES[row.state],
        attempt=row.attempt,
        detail=row.detail,
    )
    if row.state is JobState.COMPLETED:
        job.fraction = 1.0
    elif row.state is JobState.WAITING:
        job.detail = waits_for_variants
    elif row.state is JobState.QUEUED and board is not None:
        job.detail = "; ".join(filter(None, (row.detail, _waits_for_board(board))))
    elif row.state is JobState.RUNNING and progress is not None:
        job.fraction, job.phase = progress.fraction, progress.phase
    return job


def _waits_for_board(board: BoardView) -> str:
    if not board.attached:
        return "waits for its board, which is not attached: is edgemeter-agent running there?"
    if board.running_job_id is not None:
        return f"waits for its board, which runs job {board.running_job_id}"
    return "waits for its board to claim it"
