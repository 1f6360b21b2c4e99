"""The Lab service: what users ask of the coordinator. Each call is a transaction or a word to the engine."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from importlib.metadata import version
from typing import Any, cast

import grpc.aio
from sqlalchemy import Connection

from edgemeter_converters import recipes
from edgemeter_coordinator.authority import Authority
from edgemeter_coordinator.conversion.engine import ConversionEngine
from edgemeter_coordinator.conversion.ground import ground
from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.schedule.selecting import NoDeviceMatchesError, select
from edgemeter_coordinator.service import access, bounds, meters, study_view, submission, suitability
from edgemeter_coordinator.service.catalogue import Catalogue
from edgemeter_coordinator.service.changes import Changes
from edgemeter_coordinator.service.pricing import Price, prices
from edgemeter_coordinator.service.scoring import Scorer
from edgemeter_coordinator.service.sessions import Sessions
from edgemeter_coordinator.service.study_view import BoardView, StudyRows
from edgemeter_coordinator.service.variants import Variants, conversion_refusals
from edgemeter_coordinator.store import datasets, devices, jobs, models, results, studies, tokens, variants
from edgemeter_coordinator.store import meters as attached_meters
from edgemeter_coordinator.store.database import Database
from edgemeter_coordinator.store.datasets import DatasetRow
from edgemeter_coordinator.store.models import ModelRow
from edgemeter_coordinator.store.results import StoredResult
from edgemeter_protos import PROTOCOL_VERSION
from edgemeter_protos.v1 import fleet_pb2, lab_pb2, lab_pb2_grpc, refusal_pb2

Context = grpc.aio.ServicerContext[Any, Any]

USUAL_STUDIES = 50
MOST_STUDIES = 1000
JOIN_TTL_S = 3600
LONGEST_TTL_S = 10 * 365 * 24 * 3600
MOST_USES = 10_000
USER_CHARACTERS = 64
CANCELLED = "the study was cancelled"


class LabService(lab_pb2_grpc.LabServicer):
    """Raises Refused for what a user got wrong; the guard of `service.access` makes that a typed refusal."""

    def __init__(
        self,
        *,
        database: Database,
        catalogue: Catalogue,
        conversion: ConversionEngine,
        scorer: Scorer,
        sessions: Sessions,
        changes: Changes,
        authority: Authority,
        address: str,
    ) -> None:
        self._database = database
        self._catalogue = catalogue
        self._conversion = conversion
        self._variants = Variants(database=database, conversion=conversion)
        self._scorer = scorer
        self._sessions = sessions
        self._changes = changes
        self._authority = authority
        # Where boards dial: "192.168.1.10:7443".
        self._address = address

    async def GetCoordinator(  # noqa: N802
        self, _request: lab_pb2.GetCoordinatorRequest, _context: Context
    ) -> lab_pb2.GetCoordinatorResponse:
        return lab_pb2.GetCoordinatorResponse(
            version=version("edgemeter-coordinator"),
            protocol_version=PROTOCOL_VERSION,
            ca_fingerprint=self._authority.fingerprint,
            user=access.user().name,
        )

    # Models, data, recipes.

    async def AddModel(  # noqa: N802
        self, request: lab_pb2.AddModelRequest, _context: Context
    ) -> lab_pb2.AddModelResponse:
        row, known = await self._catalogue.add_model(request)
        return lab_pb2.AddModelResponse(model=study_view.model(row), known=known)

    async def ListModels(  # noqa: N802
        self, _request: lab_pb2.ListModelsRequest, _context: Context
    ) -> lab_pb2.ListModelsResponse:
        rows = await self._database.transact(models.every)
        return lab_pb2.ListModelsResponse(models=map(study_view.model, rows))

    async def GetModel(  # noqa: N802
        self, request: lab_pb2.GetModelRequest, _context: Context
    ) -> lab_pb2.GetModelResponse:
        found = await self._database.transact(submission.find_model, request.model)
        row = await self._catalogue.described(found)
        return lab_pb2.GetModelResponse(
            model=study_view.model(row), recipes=recipes.applicability(row.framework)
        )

    async def AddDataset(  # noqa: N802
        self, request: lab_pb2.AddDatasetRequest, _context: Context
    ) -> lab_pb2.AddDatasetResponse:
        row, known = await self._catalogue.add_dataset(request)
        return lab_pb2.AddDatasetResponse(dataset=study_view.dataset(row), known=known)

    async def ListDatasets(  # noqa: N802
        self, _request: lab_pb2.ListDatasetsRequest, _context: Context
    ) -> lab_pb2.ListDatasetsResponse:
        rows = await self._database.transact(datasets.every)
        return lab_pb2.ListDatasetsResponse(datasets=map(study_view.dataset, rows))

    async def ListRecipes(  # noqa: N802
        self, _request: lab_pb2.ListRecipesRequest, _context: Context
    ) -> lab_pb2.ListRecipesResponse:
        return lab_pb2.ListRecipesResponse(recipes=recipes.catalogue())

    # Variants.

    async def ListVariants(  # noqa: N802
        self, request: lab_pb2.ListVariantsRequest, _context: Context
    ) -> lab_pb2.ListVariantsResponse:
        return await self._variants.listed(request)

    async def GetVariant(  # noqa: N802
        self, request: lab_pb2.GetVariantRequest, _context: Context
    ) -> lab_pb2.GetVariantResponse:
        return await self._variants.one(request)

    async def RebuildVariant(  # noqa: N802
        self, request: lab_pb2.RebuildVariantRequest, _context: Context
    ) -> lab_pb2.RebuildVariantResponse:
        return await self._variants.rebuilt(request)

    async def InspectLayers(  # noqa: N802
        self, request: lab_pb2.InspectLayersRequest, _context: Context
    ) -> lab_pb2.InspectLayersResponse:
        return await self._variants.layers(request)

    # Studies.

    async def CreateStudy(  # noqa: N802
        self, request: lab_pb2.CreateStudyRequest, _context: Context
    ) -> lab_pb2.CreateStudyResponse:
        submission.complete_plan(request)
        model, dataset = await self._database.transact(_model_and_data, request)
        with conversion_refusals():
            installed = await self._conversion.installed_versions()
        read = suitability.read_recipes(request.recipes, model.framework, installed)
        if any(recipes.needs_training(each.recipe) for each in read):
            dataset = await self._catalogue.trainable(dataset)
        submitted = await self._database.transact(
            submission.submit, request, model, dataset, read, user=access.user().name
        )
        if not request.dry_run:
            self._conversion.wake()
            self._sessions.nudge(submitted.device_ids)
            return lab_pb2.CreateStudyResponse(study=await self._shown(submitted.rows))
        building = [
            (variant.variant_id, each.recipe)
            for variant, each in zip(submitted.planned, read, strict=True)
            if variant.build
        ]
        priced = await prices(
            self._database,
            self._conversion.stages,
            ground(model, dataset, ()),
            model.parameters,
            building,
            installed,
        )
        return lab_pb2.CreateStudyResponse(study=await self._shown(submitted.rows, priced))

    async def ListStudies(  # noqa: N802
        self, request: lab_pb2.ListStudiesRequest, _context: Context
    ) -> lab_pb2.ListStudiesResponse:
        limit = min(request.limit or USUAL_STUDIES, MOST_STUDIES)
        newest = await self._database.transact(_newest, limit, request.part_of)
        return lab_pb2.ListStudiesResponse(studies=[await self._shown(rows) for rows in newest])

    async def GetStudy(  # noqa: N802
        self, request: lab_pb2.GetStudyRequest, _context: Context
    ) -> lab_pb2.GetStudyResponse:
        rows = await self._database.transact(_found, request.study)
        return lab_pb2.GetStudyResponse(study=await self._shown(rows))

    async def WatchStudy(  # noqa: N802
        self, request: lab_pb2.WatchStudyRequest, _context: Context
    ) -> AsyncIterator[lab_pb2.WatchStudyResponse]:
        study_id = (await self._database.transact(submission.find_study, request.study)).id
        last: lab_pb2.Study | None = None
        changes = cast("AsyncGenerator[None, None]", self._changes.watch(study_id))
        async with aclosing(changes):
            async for _ in changes:
                rows = await self._database.transact(submission.study_rows, study_id)
                study = await self._shown(rows)
                if study != last:
                    yield lab_pb2.WatchStudyResponse(study=study)
                last = study
                if rows.ended:
                    return

    async def CancelStudy(  # noqa: N802
        self, request: lab_pb2.CancelStudyRequest, _context: Context
    ) -> lab_pb2.CancelStudyResponse:
        rows, told, variant_ids = await self._database.transact(_cancel, request.study)
        for device_id, attempt in told:
            self._sessions.cancel(device_id, attempt, CANCELLED)
        self._conversion.abandon(variant_ids)
        self._changes.notify(rows.study.id)
        return lab_pb2.CancelStudyResponse(study=await self._shown(rows))

    async def ListResults(  # noqa: N802
        self, request: lab_pb2.ListResultsRequest, _context: Context
    ) -> AsyncIterator[lab_pb2.ListResultsResponse]:
        rows = await self._database.transact(_found, request.study)
        stored = await self._scored(rows.study.id, request.include_late)
        boards = {board.id: board for board in await self._devices()}
        study = await self._shown(rows)
        for each in stored:
            yield study_view.result(each, of=study, on=boards[each.device_id])

    # Devices and tokens.

    async def ListDevices(  # noqa: N802
        self, request: lab_pb2.ListDevicesRequest, _context: Context
    ) -> lab_pb2.ListDevicesResponse:
        boards = await self._devices()
        if request.devices:
            try:
                boards = select(boards, request.devices)
            except NoDeviceMatchesError as error:
                raise Refused(refusal_pb2.REFUSAL_REASON_NO_DEVICE_MATCHES, str(error)) from error
        return lab_pb2.ListDevicesResponse(devices=boards)

    async def AttachMeter(  # noqa: N802
        self, request: lab_pb2.AttachMeterRequest, _context: Context
    ) -> lab_pb2.AttachMeterResponse:
        board = await self._database.transact(
            meters.attach, request.device, request.spec, user=access.user().name
        )
        return lab_pb2.AttachMeterResponse(device=await self._device(board.id))

    async def DetachMeter(  # noqa: N802
        self, request: lab_pb2.DetachMeterRequest, _context: Context
    ) -> lab_pb2.DetachMeterResponse:
        board = await self._database.transact(meters.detach, request.device, request.spec)
        return lab_pb2.DetachMeterResponse(device=await self._device(board.id))

    async def CreateJoinToken(  # noqa: N802
        self, request: lab_pb2.CreateJoinTokenRequest, _context: Context
    ) -> lab_pb2.CreateJoinTokenResponse:
        uses, ttl_s = request.uses or 1, request.ttl_s or JOIN_TTL_S
        bounds.check(uses <= MOST_USES, f"{uses} uses: a join token has at most {MOST_USES}")
        bounds.check(ttl_s <= LONGEST_TTL_S, f"{ttl_s} s: a token lasts at most {LONGEST_TTL_S} s")
        bounds.check_labels(dict(request.labels))
        issued = await self._database.transact(
            tokens.create_join,
            user=access.user().name,
            labels=dict(request.labels),
            uses=uses,
            ttl_s=ttl_s,
        )
        return lab_pb2.CreateJoinTokenResponse(
            token=issued.secret,
            ca_fingerprint=self._authority.fingerprint,
            expires_at_unix_ms=issued.expires_at_ms or 0,
            address=self._address,
        )

    async def CreateUserToken(  # noqa: N802
        self, request: lab_pb2.CreateUserTokenRequest, _context: Context
    ) -> lab_pb2.CreateUserTokenResponse:
        name = request.user
        bounds.check(
            0 < len(name) <= USER_CHARACTERS and name.isprintable() and name == name.strip(),
            f"{name[:USER_CHARACTERS]!r} can't be a user's name: 1 to {USER_CHARACTERS} printable characters",
        )
        bounds.check(
            request.ttl_s <= LONGEST_TTL_S, f"{request.ttl_s} s: a token lasts at most {LONGEST_TTL_S} s"
        )
        issued = await self._database.transact(tokens.create_user, user=name, ttl_s=request.ttl_s)
        return lab_pb2.CreateUserTokenResponse(token=issued.secret)

    async def ListTokens(  # noqa: N802
        self, _request: lab_pb2.ListTokensRequest, _context: Context
    ) -> lab_pb2.ListTokensResponse:
        rows = await self._database.transact(tokens.every)
        return lab_pb2.ListTokensResponse(tokens=map(study_view.token, rows))

    async def _shown(self, rows: StudyRows, priced: Mapping[str, Price] | None = None) -> lab_pb2.Study:
        running = await self._database.transact(jobs.running)
        boards = {
            job.device_id: BoardView(
                attached=self._sessions.attached(job.device_id), running_job_id=running.get(job.device_id)
            )
            for job in rows.jobs
        }
        said = ((job.id, self._sessions.progress(job.id)) for job in rows.jobs)
        progress = {job_id: each for job_id, each in said if each is not None}
        return study_view.study(
            rows,
            boards=boards,
            progress=progress,
            builds=self._conversion.standings(),
            prices=priced,
        )

    async def _devices(self) -> list[lab_pb2.Device]:
        rows, running, attached = await self._database.transact(
            lambda connection: (
                devices.every(connection),
                jobs.running(connection),
                attached_meters.of_devices(connection),
            )
        )
        return [study_view.device(row, running.get(row.id), attached.get(row.id, ())) for row in rows]

    async def _device(self, device_id: str) -> lab_pb2.Device:
        return next(board for board in await self._devices() if board.id == device_id)

    async def _scored(self, study_id: str, include_late: bool) -> Sequence[StoredResult]:
        """Results with their quality. One that came in this moment may still be being scored."""
        stored = await self._database.transact(results.of_study, study_id, include_late)
        unscored = [each.id for each in stored if each.device_quality is None and each.result.outputs_digest]
        for result_id in unscored:
            await self._scorer.score(result_id)
        if not unscored:
            return stored
        return await self._database.transact(results.of_study, study_id, include_late)


def _model_and_data(
    connection: Connection, request: lab_pb2.CreateStudyRequest
) -> tuple[ModelRow, DatasetRow]:
    return (
        submission.find_model(connection, request.model),
        submission.find_dataset(connection, request.dataset),
    )


def _found(connection: Connection, reference: str) -> StudyRows:
    return submission.study_rows(connection, submission.find_study(connection, reference).id)


def _newest(connection: Connection, limit: int, part_of: str) -> list[StudyRows]:
    found = studies.newest(connection, limit, part_of)
    wanted = studies.variants_of(connection, [study.id for study in found])
    return [
        StudyRows(study=study, variants=wanted[study.id], jobs=jobs.of_study(connection, study.id))
        for study in found
    ]


def _cancel(
    connection: Connection, reference: str
) -> tuple[StudyRows, list[tuple[str, fleet_pb2.AttemptRef]], list[str]]:
    """The study, the attempts to be told of, and the variants that nobody wants any more."""
    rows = _found(connection, reference)
    if rows.ended:
        return rows, [], []
    study_id = rows.study.id
    told = jobs.cancel_study(connection, study_id, CANCELLED)
    studies.cancel(connection, study_id)
    variant_ids = variants.needed_by_this_alone(connection, study_id)
    variants.give_up(connection, variant_ids, CANCELLED)
    return submission.study_rows(connection, study_id), told, variant_ids
