"""The variants' way from wanted to ready.

The database holds what is to be done; this does it. A variant becomes ready in the transaction that also
releases the jobs that waited for it, after its artifact and its golden pair are whole blobs: a crash at any
moment leaves a variant that is converting, and that is built anew.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from edgemeter_converters import worker
from edgemeter_converters.exceptions import ConversionError
from edgemeter_coordinator.blobs import BlobStore
from edgemeter_coordinator.conversion.capacity import Capacity
from edgemeter_coordinator.conversion.cluster import Cluster, WorkerDiedError
from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.schedule.study_state import ENDED_VARIANTS
from edgemeter_coordinator.store import datasets, jobs, models, studies, variants
from edgemeter_coordinator.store.database import Database
from edgemeter_coordinator.store.variants import VariantRow
from edgemeter_protos.v1 import refusal_pb2, variant_pb2

SEED = 0
"""Of whatever is random in a conversion. The plan's seed is the measurement's: it must not name variants."""

RETRY_S = 1.0
"""How long to wait after the database could not be asked."""

logger = logging.getLogger(__name__)


class Changes(Protocol):
    """Who watches a study is told."""

    def notify(self, study_id: str) -> None: ...


class Sessions(Protocol):
    """Attached boards."""

    def nudge(self, device_ids: Iterable[str]) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspected:
    """What an inspection of a dataset left: its report, and the blobs that were made of it."""

    report: worker.DatasetReport
    evaluation_inputs_blob: str | None
    evaluation_labels_blob: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """What a variant's end changed."""

    study_ids: tuple[str, ...] = ()
    # Boards that have a job to claim now.
    device_ids: tuple[str, ...] = ()


class ConversionEngine:
    """Builds the variants that wait, as many at a time as there are workers."""

    def __init__(
        self,
        *,
        database: Database,
        blobs: BlobStore,
        changes: Changes,
        sessions: Sessions,
        scratch_dir: Path,
        capacity: Capacity,
    ) -> None:
        self._database = database
        self._blobs = blobs
        self._changes = changes
        self._sessions = sessions
        self._scratch_dir = scratch_dir
        self._cluster = Cluster(capacity=capacity, scratch_dir=scratch_dir / "workers")
        self._builds: dict[str, asyncio.Task[None]] = {}
        self._awake = asyncio.Event()
        self._dispatcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Takes up what an earlier process left. No worker is started before there is work."""
        await asyncio.to_thread(shutil.rmtree, self._scratch_dir, ignore_errors=True)
        self._scratch_dir.mkdir(parents=True)
        await self._database.transact(variants.put_back)
        self._dispatcher = asyncio.create_task(self._dispatch(), name="dispatch conversions")
        self.wake()

    async def stop(self) -> None:
        """Ends the workers at once; what they were at is built again after the next start."""
        tasks = [*self._builds.values(), *filter(None, [self._dispatcher])]
        for task in tasks:
            task.cancel()
        await self._cluster.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._dispatcher = None

    def wake(self) -> None:
        """Says that there may be variants that wait."""
        self._awake.set()

    def abandon(self, variant_ids: Iterable[str]) -> None:
        """Stops building variants that nobody wants any more; their rows say so already."""
        for variant_id in variant_ids:
            build = self._builds.get(variant_id)
            if build is not None:
                build.cancel()

    async def inspect_model(self, digest: str, file_name: str) -> worker.ModelReport:
        """Loads a model in a worker, safely.

        Raises Refused: BLOB_MISSING, NOT_A_MODEL, UNSAFE_MODEL, BAD_REQUEST.
        """
        path = await asyncio.to_thread(self._blobs.require, digest)
        try:
            return await self._cluster.run(worker.inspect_model, str(path), file_name)
        except ConversionError as error:
            raise _refused(error) from error
        except WorkerDiedError as error:
            raise Refused(
                refusal_pb2.REFUSAL_REASON_NOT_A_MODEL, f"{file_name} could not be loaded: {error}"
            ) from error

    async def inspect_dataset(self, digest: str, file_name: str) -> Inspected:
        """Reads a dataset in a worker, and keeps its evaluation split as blobs.

        Raises Refused: BLOB_MISSING, NOT_A_DATASET, DISK_FULL.
        """
        path = await asyncio.to_thread(self._blobs.require, digest)
        with tempfile.TemporaryDirectory(dir=self._scratch_dir) as out_dir:
            try:
                report = await self._cluster.run(worker.inspect_dataset, str(path), file_name, out_dir)
            except ConversionError as error:
                raise _refused(error) from error
            except WorkerDiedError as error:
                raise Refused(
                    refusal_pb2.REFUSAL_REASON_NOT_A_DATASET, f"{file_name} could not be read: {error}"
                ) from error
            return Inspected(
                report=report,
                evaluation_inputs_blob=await self._keep(report.inputs_path),
                evaluation_labels_blob=await self._keep(report.labels_path),
            )

    async def _keep(self, path: str) -> str | None:
        return await asyncio.to_thread(self._blobs.add_file, Path(path)) if path else None

    async def _dispatch(self) -> None:
        while True:
            await self._awake.wait()
            self._awake.clear()
            try:
                await self._take()
            except Exception:
                logger.exception("variants that wait could not be taken; trying again")
                await asyncio.sleep(RETRY_S)
                self.wake()

    async def _take(self) -> None:
        free = self._cluster.capacity.workers - len(self._builds)
        if free <= 0:
            return
        for variant, study_ids in await self._database.transact(_take, free):
            earlier = self._builds.get(variant.id)
            task = asyncio.create_task(self._build(variant, after=earlier), name=f"build {variant.id}")
            self._builds[variant.id] = task
            task.add_done_callback(partial(self._built, variant.id))
            for study_id in study_ids:
                self._changes.notify(study_id)

    def _built(self, variant_id: str, task: asyncio.Task[None]) -> None:
        if self._builds.get(variant_id) is task:
            del self._builds[variant_id]
        if not task.cancelled() and task.exception() is not None:
            logger.error("variant %s was left unfinished", variant_id, exc_info=task.exception())
        self.wake()

    async def _build(self, variant: VariantRow, *, after: asyncio.Task[None] | None) -> None:
        if after is not None:
            # Given up a moment ago, and wanted again: its worker is still being killed.
            await asyncio.wait([after])
        logger.info("building %s (%s)", variant.recipe, variant.id)
        try:
            manifest = await self._manifest(variant)
        except (ConversionError, WorkerDiedError, Refused) as error:
            logger.warning("%s (%s) failed: %s", variant.recipe, variant.id, error)
            settled = await self._recorded(_fail, variant.id, str(error))
        except Exception as error:
            logger.exception("%s (%s) failed", variant.recipe, variant.id)
            settled = await self._recorded(_fail, variant.id, f"{type(error).__name__}: {_line(error)}")
        else:
            settled = await self._recorded(_finish, variant.id, manifest)
        for study_id in settled.study_ids:
            self._changes.notify(study_id)
        self._sessions.nudge(settled.device_ids)

    async def _recorded(self, end: Callable[..., Settled], *args: Any) -> Settled:
        """Writes how a variant ended, once the database takes it. The disk that a conversion filled is the
        database's too, and a variant whose end is not written would be converting until the next start."""
        while True:
            try:
                return await self._database.transact(end, *args)
            except DatabaseError:
                logger.exception("the end of variant %s could not be written; trying again", args[0])
                await asyncio.sleep(RETRY_S)

    async def _manifest(self, variant: VariantRow) -> variant_pb2.Manifest:
        model, dataset = await self._database.transact(_sources, variant)
        with tempfile.TemporaryDirectory(dir=self._scratch_dir) as out_dir:
            request = worker.BuildRequest(
                variant_id=variant.id,
                model_path=await self._path(model.digest),
                model_digest=model.digest,
                model_file_name=model.file_name,
                dataset_path=await self._path(dataset.digest),
                dataset_file_name=dataset.file_name,
                recipe=variant.recipe,
                seed=SEED,
                out_dir=out_dir,
            )
            built = await self._cluster.run(worker.build_variant, request)
            for path in (built.artifact_path, built.golden_path):
                await self._keep(path)
            return variant_pb2.Manifest.FromString(built.manifest)

    async def _path(self, digest: str) -> str:
        return str(await asyncio.to_thread(self._blobs.require, digest))


def settle(connection: Connection, variant_id: str) -> Settled:
    """Lets the studies go on that waited for a variant that has ended, where it was their last one.

    Their jobs measure what is ready; where nothing is, they fail with the reasons.
    """
    study_ids = studies.wanting(connection, variant_id)
    device_ids: list[str] = []
    for study_id, wanted in studies.variants_of(connection, study_ids).items():
        if any(variant.state not in ENDED_VARIANTS for variant in wanted):
            continue
        studies.go_without(connection, study_id, [each for each in wanted if each.state == "failed"])
        if any(variant.state == "ready" for variant in wanted):
            device_ids += jobs.release(connection, study_id)
        else:
            reasons = "; ".join(f"{variant.recipe}: {variant.error}" for variant in wanted)
            jobs.fail_waiting(connection, study_id, f"no variant could be built: {reasons}")
    return Settled(study_ids=tuple(study_ids), device_ids=tuple(device_ids))


def _take(connection: Connection, limit: int) -> list[tuple[VariantRow, list[str]]]:
    taken = variants.take_waiting(connection, limit)
    return [(variant, studies.wanting(connection, variant.id)) for variant in taken]


def _finish(connection: Connection, variant_id: str, manifest: variant_pb2.Manifest) -> Settled:
    return settle(connection, variant_id) if variants.ready(connection, variant_id, manifest) else Settled()


def _fail(connection: Connection, variant_id: str, error: str) -> Settled:
    return settle(connection, variant_id) if variants.failed(connection, variant_id, error) else Settled()


def _sources(connection: Connection, variant: VariantRow) -> tuple[models.ModelRow, datasets.DatasetRow]:
    model = models.by_digest(connection, variant.model_digest)
    dataset = datasets.by_digest(connection, variant.dataset_digest)
    assert model is not None
    assert dataset is not None
    return model, dataset


def _refused(error: ConversionError) -> Refused:
    reason = refusal_pb2.RefusalReason.ValueType(error.reason or refusal_pb2.REFUSAL_REASON_BAD_REQUEST)
    return Refused(reason, error.message)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:299]}…"
