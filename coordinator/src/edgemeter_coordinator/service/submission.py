"""A study from what a user asks for: checked first, then written in one transaction, or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from edgemeter_converters import identity, recipes
from edgemeter_converters.models import FRAMEWORKS
from edgemeter_coordinator.conversion.ground import ground
from edgemeter_coordinator.ids import new_id
from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.schedule import measurable, meter_specs
from edgemeter_coordinator.schedule.leases import JobState
from edgemeter_coordinator.schedule.planning import (
    PlannedVariant,
    completed,
    plan_problem,
    plan_variants,
    unrunnable,
)
from edgemeter_coordinator.schedule.selecting import NoDeviceMatchesError, select
from edgemeter_coordinator.service import bounds
from edgemeter_coordinator.service.references import pick
from edgemeter_coordinator.service.study_view import StudyRows
from edgemeter_coordinator.service.suitability import ReadRecipe, check_data
from edgemeter_coordinator.store import datasets, devices, jobs, meters, models, studies, variants
from edgemeter_coordinator.store.database import now_ms
from edgemeter_coordinator.store.datasets import DatasetRow
from edgemeter_coordinator.store.devices import Device
from edgemeter_coordinator.store.jobs import StudyJob
from edgemeter_coordinator.store.models import ModelRow
from edgemeter_coordinator.store.studies import StudyRow, StudyVariantRow
from edgemeter_coordinator.store.variants import VariantRow
from edgemeter_protos import text_plans
from edgemeter_protos.v1 import lab_pb2, plan_pb2, refusal_pb2

WRITE_TEXT = frozenset(each.name for each in FRAMEWORKS.values() if each.writes_text)
"""Frameworks whose models are timed by what they write."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Submitted:
    rows: StudyRows
    planned: Sequence[PlannedVariant]
    # Boards that have a job to claim at once, nothing being left to build.
    device_ids: tuple[str, ...]


def complete_plan(request: lab_pb2.CreateStudyRequest) -> None:
    """Puts into the plan what an earlier edgemeter left out. Raises Refused (BAD_REQUEST) for one that is out
    of bounds."""
    request.plan.CopyFrom(completed(request.plan))
    problem = plan_problem(request.plan)
    if problem is not None:
        raise Refused(refusal_pb2.REFUSAL_REASON_BAD_REQUEST, problem)


def check_text(framework: str, plan: plan_pb2.Plan) -> None:
    """Raises Refused (BAD_REQUEST) for a plan that a model of this framework is not measured by: boards would
    refuse it too, once everything is built."""
    problem = text_plans.refusal(plan) if framework in WRITE_TEXT else None
    bounds.check(problem is None, problem or "")


def submit(
    connection: Connection,
    request: lab_pb2.CreateStudyRequest,
    model: ModelRow,
    dataset: DatasetRow,
    read: Sequence[ReadRecipe],
    *,
    user: str,
) -> Submitted:
    """Creates a study with its variants and jobs; with `dry_run` says what would be created.

    Raises Refused: NOT_FOUND, ALREADY_EXISTS, SHAPE_MISMATCH, NO_DEVICE_MATCHES, BAD_REQUEST. Nothing is
    written then.
    """
    bounds.check(
        models.by_digest(connection, model.digest) == model,
        f"{model.name} was given other preprocessing or inputs a moment ago: try again",
    )
    check_data(model, dataset, read)
    check_text(model.framework, request.plan)
    boards = _boards(connection, request, read, model.framework)
    planned = _planned(connection, model, dataset, read)
    name = _study_name(connection, request.name, model)
    if request.dry_run:
        return Submitted(
            rows=_imagined(connection, request, name, model, dataset, planned, boards, user),
            planned=planned,
            device_ids=(),
        )
    study_id = new_id()
    for variant in planned:
        if variant.build:
            variants.await_build(
                connection,
                variant.variant_id,
                model_digest=model.digest,
                dataset_digest=dataset.digest,
                recipe=variant.recipe,
            )
    studies.add(
        connection,
        study_id=study_id,
        name=name,
        model_digest=model.digest,
        dataset_digest=dataset.digest,
        plan=request.plan,
        created_by=user,
        planned=planned,
    )
    board_ids = [board.id for board in boards]
    state = _first_state(planned)
    jobs.create(connection, study_id, board_ids, state)
    return Submitted(
        rows=study_rows(connection, study_id),
        planned=planned,
        device_ids=tuple(board_ids) if state is JobState.QUEUED else (),
    )


def find_model(connection: Connection, reference: str) -> ModelRow:
    """By name, digest or the start of a digest. Raises Refused: NOT_FOUND, BAD_REQUEST."""
    return pick(
        reference,
        models.referred(connection, reference),
        noun="model",
        key=lambda row: row.digest,
        names=lambda: [row.name for row in models.every(connection)],
    )


def find_dataset(connection: Connection, reference: str) -> DatasetRow:
    """As find_model."""
    return pick(
        reference,
        datasets.referred(connection, reference),
        noun="dataset",
        key=lambda row: row.digest,
        names=lambda: [row.name for row in datasets.every(connection)],
    )


def find_variant(connection: Connection, reference: str) -> VariantRow:
    """By id or the start of an id. Raises Refused: NOT_FOUND, BAD_REQUEST."""
    return pick(
        reference,
        variants.referred(connection, reference),
        noun="variant",
        key=lambda row: row.id,
        names=lambda: (),
    )


def find_study(connection: Connection, reference: str) -> StudyRow:
    """By id, name or the start of an id. Raises Refused: NOT_FOUND, BAD_REQUEST."""
    return pick(
        reference,
        studies.referred(connection, reference),
        noun="study",
        key=lambda row: row.id,
        names=lambda: studies.names(connection),
    )


def study_rows(connection: Connection, study_id: str) -> StudyRows:
    """All rows of a study that exists."""
    study = studies.get(connection, study_id)
    assert study is not None
    return StudyRows(
        study=study,
        variants=studies.variants_of(connection, [study_id])[study_id],
        jobs=jobs.of_study(connection, study_id),
    )


def _boards(
    connection: Connection,
    request: lab_pb2.CreateStudyRequest,
    read: Sequence[ReadRecipe],
    framework: str,
) -> list[Device]:
    every = devices.every(connection)
    try:
        chosen = select(every, request.devices)
    except NoDeviceMatchesError as error:
        raise Refused(refusal_pb2.REFUSAL_REASON_NO_DEVICE_MATCHES, str(error)) from error
    attached = meters.of_devices(connection)
    boards = {
        board.id: measurable.Board(
            name=board.name,
            facts=board.facts,
            attached=[meter_specs.shown(each.spec) for each in attached.get(board.id, ())],
        )
        for board in every
    }
    for problem in _problems(request.plan, [boards[board.id] for board in chosen], boards, read, framework):
        if problem is not None:
            raise Refused(refusal_pb2.REFUSAL_REASON_NO_DEVICE_MATCHES, problem)
    return chosen


def _problems(
    plan: plan_pb2.Plan,
    chosen: Sequence[measurable.Board],
    boards: Mapping[str, measurable.Board],
    read: Sequence[ReadRecipe],
    framework: str,
) -> Iterator[str | None]:
    # Those that no runtime runs are for the coordinator only: built and scored there, left out of jobs.
    measured = [each for each in read if recipes.runtimes(each.recipe, framework)]
    if not measured:
        yield f"no board runs {', '.join(map(str, read))}, on the coordinator only: give another recipe too"
    for board in chosen:
        for each in measured:
            needed = recipes.runtimes(each.recipe, framework)
            yield unrunnable(str(each), needed, board.name, board.facts.runtimes)
            yield measurable.unaccelerated(plan.accelerator, str(each), needed, board)
        yield measurable.outdated(plan, board)
        yield measurable.unpinnable(plan, board)
    yield measurable.unmetered(plan, chosen, list(boards.values()))


def _planned(
    connection: Connection, model: ModelRow, dataset: DatasetRow, read: Sequence[ReadRecipe]
) -> list[PlannedVariant]:
    sources = ground(model, dataset, ()).sources
    wanted = [(identity.variant_id(sources, each.recipe, each.tool_versions), str(each)) for each in read]
    return plan_variants(wanted, variants.states(connection, [wanted_id for wanted_id, _ in wanted]))


def _study_name(connection: Connection, wanted: str, model: ModelRow) -> str:
    if not wanted:
        # Room for the number.
        return studies.free_name(connection, model.name[: bounds.MAX_NAME_CHARACTERS - 12])
    bounds.check_name("study", wanted)
    if studies.name_taken(connection, wanted):
        raise Refused(
            refusal_pb2.REFUSAL_REASON_ALREADY_EXISTS,
            f"there is a study {wanted!r} already: choose another name, such as "
            f"{studies.free_name(connection, wanted[: bounds.MAX_NAME_CHARACTERS - 12])!r}, or none",
        )
    return wanted


def _first_state(planned: Sequence[PlannedVariant]) -> JobState:
    return JobState.QUEUED if all(variant.reused for variant in planned) else JobState.WAITING


def _imagined(
    connection: Connection,
    request: lab_pb2.CreateStudyRequest,
    name: str,
    model: ModelRow,
    dataset: DatasetRow,
    planned: Sequence[PlannedVariant],
    boards: Sequence[Device],
    user: str,
) -> StudyRows:
    """The rows of a study that is not created: neither it nor its jobs have an id."""
    now = now_ms(connection)
    rows = [(variant, variants.get(connection, variant.variant_id)) for variant in planned]
    return StudyRows(
        study=StudyRow(
            id="",
            name=name,
            model_digest=model.digest,
            model_name=model.name,
            dataset_digest=dataset.digest,
            dataset_name=dataset.name,
            plan=request.plan,
            created_by=user,
            created_at_ms=now,
            cancelled_at_ms=None,
        ),
        variants=[
            StudyVariantRow(
                study_id="",
                variant_id=variant.variant_id,
                recipe=variant.recipe,
                state="waiting" if variant.build or row is None else row.state,
                reused=variant.reused,
                error="",
                manifest=row.manifest if row is not None else None,
            )
            for variant, row in rows
        ],
        jobs=[
            StudyJob(
                id="",
                device_id=board.id,
                device_name=board.name,
                state=_first_state(planned),
                attempt=0,
                detail="",
                created_at_ms=now,
                ended_at_ms=None,
            )
            for board in boards
        ],
    )
