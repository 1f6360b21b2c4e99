"""The variants' way from wanted to ready.

The database holds what is to be done; this does it. A variant becomes ready in the transaction that also
releases the jobs that waited for it, after its artifact and its golden pair are whole blobs: a crash at any
moment leaves a variant that is converting, and that is built anew, from the stages that are kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from edgemeter_converters import recipes, worker
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.messages import BuildReport, BuildRequest, LayersRequest
from edgemeter_converters.recipes import Recipe
from edgemeter_coordinator.conversion.cluster import Progress, WorkerDiedError
from edgemeter_coordinator.conversion.ground import SEED, Ground, ground
from edgemeter_coordinator.conversion.stages import Begun, Counts, Stages, wanted
from edgemeter_coordinator.conversion.workbench import Workbench
from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.schedule.study_state import ENDED_VARIANTS
from edgemeter_coordinator.store import datasets, jobs, models, studies, variants
from edgemeter_coordinator.store.database import Database
from edgemeter_coordinator.store.variants import VariantRow
from edgemeter_protos.v1 import variant_pb2

RETRY_S = 1.0
"""How long to wait after the database could not be asked."""

TELL_EVERY_S = 0.3
"""Watchers hear of a conversion's progress at most so often."""

logger = logging.getLogger(__name__)


class Changes(Protocol):
    """Who watches a study is told."""

    def notify(self, study_id: str) -> None: ...


class Sessions(Protocol):
    """Attached boards."""

    def nudge(self, device_ids: Iterable[str]) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Settled:
    """What a variant's end changed."""

    study_ids: tuple[str, ...] = ()
    # Boards that have a job to claim now.
    device_ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """How far a build is: 0 to 1, and a few words."""

    fraction: float
    phase: str


class ConversionEngine:
    """Builds the variants that wait, as many at a time as there are workers."""

    def __init__(
        self,
        *,
        database: Database,
        bench: Workbench,
        changes: Changes,
        sessions: Sessions,
        allow_code: tuple[str, ...] = (),
    ) -> None:
        self._database = database
        self._bench = bench
        self._changes = changes
        self._sessions = sessions
        self._allow_code = allow_code
        self._stages = Stages(database=database, bench=bench)
        self._builds: dict[str, asyncio.Task[None]] = {}
        # Those of them that need no worker now, since another one's stage is what they wait for.
        self._waiting: set[str] = set()
        self._standings: dict[str, Standing] = {}
        self._untold: set[str] = set()
        self._awake = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []

    @property
    def counts(self) -> Counts:
        """Of the stages since the start."""
        return self._stages.counts

    @property
    def stages(self) -> Stages:
        """What recipes share."""
        return self._stages

    async def installed_versions(self) -> Mapping[str, str]:
        """Of the workers' distributions. Raises WorkerDiedError where the workers can't be used."""
        return await self._bench.installed_versions()

    def standings(self) -> Mapping[str, Standing]:
        """Of the variants that are being built, by id."""
        return self._standings

    async def start(self) -> None:
        """Takes up what an earlier process left. No worker is started before there is work."""
        await self._database.transact(variants.put_back)
        self._loops = [
            asyncio.create_task(self._dispatch(), name="dispatch conversions"),
            asyncio.create_task(self._tell(), name="tell of conversions"),
        ]
        self.wake()

    async def stop(self) -> None:
        """Ends the workers at once; what they were at is built again after the next start."""
        tasks = [*self._builds.values(), *self._loops]
        for task in tasks:
            task.cancel()
        await self._bench.close()
        await self._stages.stop()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._loops = []

    def wake(self) -> None:
        """Says that there may be variants that wait."""
        self._awake.set()

    def abandon(self, variant_ids: Iterable[str]) -> None:
        """Stops building variants that nobody wants any more; their rows say so already."""
        for variant_id in variant_ids:
            build = self._builds.get(variant_id)
            if build is not None:
                build.cancel()

    async def rebuild(self, variant: VariantRow) -> variant_pb2.Manifest:
        """What building a variant again, from its original on, gives today; nothing of it is kept.

        Raises:
            ConversionError, WorkerDiedError, Refused: as a build.
        """
        assert variant.manifest is not None
        on = (await self._ground(variant)).preprocessed(variant.manifest.preprocessing)
        recipe = recipes.parse(variant.recipe, on.framework)
        chain = wanted(on, recipe, await self._bench.installed_versions())
        begun = await self._stages.begin_alone(on, chain)
        async with self._build_request(on, recipe, variant.id, begun) as request:
            built = await self._bench.run(worker.build_variant, request)
            return variant_pb2.Manifest.FromString(built.manifest)

    async def layers(self, variant: VariantRow) -> tuple[variant_pb2.LayerError, ...]:
        """How far each layer of a ready variant is from the float32 encoding of the same network.

        Raises:
            ConversionError, WorkerDiedError, Refused: as a build.
        """
        assert variant.manifest is not None
        on = (await self._ground(variant)).preprocessed(variant.manifest.preprocessing)
        recipe = recipes.parse(variant.recipe, on.framework)
        begun = await self._stages.begin(
            on,
            wanted(on, recipe, await self._bench.installed_versions()),
            progress=lambda _fraction, _phase: None,
            waits=lambda _waits: None,
        )
        named = (on.source.digest, on.dataset_blob, _digest(begun), variant.manifest.artifact_digest)
        async with self._bench.exchange(named) as exchange:
            report = await self._bench.run(
                worker.inspect_layers,
                LayersRequest(
                    exchange=exchange,
                    model=on.source,
                    dataset_digest=on.dataset_blob,
                    recipe=str(recipe),
                    start=begun.start,
                    artifact_digest=variant.manifest.artifact_digest,
                    seed=SEED,
                ),
            )
        return tuple(variant_pb2.LayerError.FromString(each) for each in report.layers)

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
        free = self._bench.slots - (len(self._builds) - len(self._waiting))
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
            self._standings.pop(variant_id, None)
            self._waiting.discard(variant_id)
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
        on = await self._ground(variant)
        recipe = recipes.parse(variant.recipe, on.framework)
        chain = wanted(on, recipe, await self._bench.installed_versions())
        part = 1 / (len(chain) + 1)
        begun = await self._stages.begin(
            on,
            chain,
            progress=self._telling(variant.id, 0.0, part * len(chain)),
            waits=partial(self._waits, variant.id),
        )
        encoding = self._telling(variant.id, 1 - part, part)
        async with self._build_request(on, recipe, variant.id, begun) as request:
            encoding(0.0, "encoding")
            built = await self._bench.run(
                worker.build_variant, request, progress=encoding, log_name=variant.id
            )
            return await self._kept(built)

    async def _kept(self, built: BuildReport) -> variant_pb2.Manifest:
        manifest = variant_pb2.Manifest.FromString(built.manifest)
        named = [(built.artifact, manifest.artifact_digest), (built.golden, manifest.golden.digest)]
        if built.compressed is not None:
            named.append((built.compressed, manifest.compressed_digest))
        if built.reference is not None:
            named.append((built.reference, manifest.reference_digest))
        for given, digest in named:
            if await self._bench.keep(given) != digest:
                raise ConversionError("a file was damaged on its way from the conversion worker: try again")
        return manifest

    @asynccontextmanager
    async def _build_request(
        self, on: Ground, recipe: Recipe, variant_id: str, begun: Begun
    ) -> AsyncIterator[BuildRequest]:
        async with self._bench.exchange((on.source.digest, on.dataset_blob, _digest(begun))) as exchange:
            yield BuildRequest(
                exchange=exchange,
                variant_id=variant_id,
                model=on.source,
                dataset_digest=on.dataset_blob,
                recipe=str(recipe),
                start=begun.start,
                stages=tuple(stage.SerializeToString() for stage in begun.stages),
                seed=SEED,
            )

    async def _ground(self, variant: VariantRow) -> Ground:
        return await self._database.transact(_ground, variant, self._allow_code)

    def _waits(self, variant_id: str, waits: bool) -> None:
        if waits:
            self._waiting.add(variant_id)
            # There may be work for the worker that this one does not need now.
            self.wake()
        else:
            self._waiting.discard(variant_id)

    def _telling(self, variant_id: str, begin: float, share: float) -> Progress:
        """Keeps how far a part of a build is that begins at `begin` and is `share` of the whole."""

        def tell(fraction: float, phase: str) -> None:
            self._standings[variant_id] = Standing(fraction=begin + share * fraction, phase=phase)
            self._untold.add(variant_id)

        return tell

    async def _tell(self) -> None:
        """Tells watchers of progress, many reports as one."""
        while True:
            await asyncio.sleep(TELL_EVERY_S)
            if not self._untold:
                continue
            told, self._untold = self._untold, set()
            try:
                study_ids = await self._database.transact(studies.wanting, *told)
            except DatabaseError:
                logger.exception("who waits for variants could not be read")
                continue
            for study_id in study_ids:
                self._changes.notify(study_id)


def settle(connection: Connection, variant_id: str) -> Settled:
    """Lets the studies go on that waited for a variant that has ended, where it was their last one.

    Their jobs measure what is ready; where nothing is, they fail with the reasons.
    """
    study_ids = studies.wanting(connection, variant_id)
    device_ids: list[str] = []
    for study_id, those in studies.variants_of(connection, study_ids).items():
        if any(variant.state not in ENDED_VARIANTS for variant in those):
            continue
        studies.go_without(connection, study_id, [each for each in those if each.state == "failed"])
        if any(variant.state == "ready" for variant in those):
            device_ids += jobs.release(connection, study_id)
        else:
            reasons = "; ".join(f"{variant.recipe}: {variant.error}" for variant in those)
            jobs.fail_waiting(connection, study_id, f"no variant could be built: {reasons}")
    return Settled(study_ids=tuple(study_ids), device_ids=tuple(device_ids))


def _take(connection: Connection, limit: int) -> list[tuple[VariantRow, list[str]]]:
    taken = variants.take_waiting(connection, limit)
    return [(variant, studies.wanting(connection, variant.id)) for variant in taken]


def _finish(connection: Connection, variant_id: str, manifest: variant_pb2.Manifest) -> Settled:
    return settle(connection, variant_id) if variants.ready(connection, variant_id, manifest) else Settled()


def _fail(connection: Connection, variant_id: str, error: str) -> Settled:
    return settle(connection, variant_id) if variants.failed(connection, variant_id, error) else Settled()


def _ground(connection: Connection, variant: VariantRow, allowed: tuple[str, ...]) -> Ground:
    model = models.by_digest(connection, variant.model_digest)
    dataset = datasets.by_digest(connection, variant.dataset_digest)
    assert model is not None
    assert dataset is not None
    return ground(model, dataset, allowed)


def _digest(begun: Begun) -> str:
    return begun.start.digest if begun.start is not None else ""


def _line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:299]}…"
