"""Steps that change a model, each carried out once for all recipes that begin with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edgemeter_converters import identity, recipes, worker
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.messages import StageRequest, Start
from edgemeter_converters.recipes import Recipe
from edgemeter_coordinator.conversion.cluster import Progress
from edgemeter_coordinator.conversion.ground import SEED, Ground
from edgemeter_coordinator.conversion.workbench import Workbench
from edgemeter_coordinator.store import stages
from edgemeter_coordinator.store.database import Database
from edgemeter_coordinator.store.stages import StageRow
from edgemeter_protos.v1 import variant_pb2

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """Of stages, since the service started."""

    # Carried out to their end.
    run: int = 0
    # Waited for, while they were carried out for another variant.
    shared: int = 0
    # Found among what earlier builds left.
    found: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One stage of a recipe."""

    id: str
    # Canonical text of what it does, and of all steps up to it.
    step: str
    steps: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """What a recipe's steps that change the model left."""

    # None where there are none.
    start: Start | None = None
    stages: tuple[variant_pb2.Stage, ...] = ()


@dataclass(kw_only=True)
class _Running:
    """A stage that is being carried out, and who waits for it."""

    # The stage, and whether it was found after all.
    task: asyncio.Task[tuple[StageRow, bool]]
    waiters: int = 0
    listeners: list[Progress] = field(default_factory=list)


def wanted(ground: Ground, recipe: Recipe, installed: Mapping[str, str]) -> tuple[Wanted, ...]:
    """The stages of a recipe, in their order. Pure."""
    found: list[Wanted] = []
    for call, stage_id in identity.stage_ids(ground.sources, recipe, installed):
        step = str(recipes.transforming(call))
        found.append(Wanted(id=stage_id, step=step, steps="+".join([*(each.step for each in found), step])))
    return tuple(found)


class Stages:
    """Used from the event loop only."""

    def __init__(self, *, database: Database, bench: Workbench) -> None:
        self.counts = Counts()
        self._database = database
        self._bench = bench
        self._running: dict[str, _Running] = {}

    async def stop(self) -> None:
        """Stops what is being carried out; its checkpoints stay."""
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def kept(self, chain: Sequence[Wanted]) -> list[StageRow]:
        """The stages at the beginning of `chain` that need not be carried out."""
        rows = await self._database.transact(stages.kept, [each.id for each in chain])
        found = []
        for each in chain:
            row = rows.get(each.id)
            if row is None or not await self._has_attachments(row):
                break
            found.append(row)
        # Only the last one's model is needed.
        while found and not await self._bench.is_whole(found[-1].blob):
            found.pop()
        return found

    async def _has_attachments(self, row: StageRow) -> bool:
        for each in row.stage.attachments:
            if not await self._bench.is_whole(each.digest):
                return False
        return True

    async def begin(
        self,
        ground: Ground,
        chain: Sequence[Wanted],
        *,
        progress: Progress,
        waits: Callable[[bool], None],
    ) -> Begun:
        """What the stages of `chain` leave, those before them carried out or found.

        Args:
            progress: told of the whole chain.
            waits: told True when this begins to wait for what is carried out for another, and False after.

        Raises:
            ConversionError, WorkerDiedError, Refused: one of them failed.
        """
        rows = await self.kept(chain)
        done = [_reused(row) for row in rows]
        self.counts.found += len(rows)
        left = len(chain) - len(rows)
        for number, each in enumerate(chain[len(rows) :]):

            def told(fraction: float, phase: str, number: int = number) -> None:
                progress((number + fraction) / left, phase)

            row, reused = await self._shared(ground, each, rows[-1] if rows else None, told, waits)
            rows.append(row)
            done.append(_reused(row) if reused else row.stage)
        return Begun(start=_start(rows[-1]) if rows else None, stages=tuple(done))

    async def begin_alone(self, ground: Ground, chain: Sequence[Wanted]) -> Begun:
        """As `begin`, with every stage carried out anew, for this caller alone; none is kept."""
        rows: list[StageRow] = []
        for each in chain:
            rows.append(await self._carry_out(ground, each, rows[-1] if rows else None, None, "-again"))
        return Begun(start=_start(rows[-1]) if rows else None, stages=tuple(row.stage for row in rows))

    async def _shared(
        self,
        ground: Ground,
        stage: Wanted,
        before: StageRow | None,
        progress: Progress,
        waits: Callable[[bool], None],
    ) -> tuple[StageRow, bool]:
        """The stage, and whether it was carried out for another."""
        running = self._running.get(stage.id)
        joined = running is not None and running.waiters > 0
        if running is None or not joined:
            running = self._start(ground, stage, before, after=running)
        else:
            self.counts.shared += 1
            waits(True)
        running.waiters += 1
        running.listeners.append(progress)
        try:
            # Shielded: the one who asked first may go away, the others still wait.
            row, found = await asyncio.shield(running.task)
            return row, joined or found
        finally:
            running.waiters -= 1
            running.listeners.remove(progress)
            if joined:
                waits(False)
            if running.waiters == 0:
                running.task.cancel()

    def _start(
        self, ground: Ground, stage: Wanted, before: StageRow | None, *, after: _Running | None
    ) -> _Running:
        listeners: list[Progress] = []

        def told(fraction: float, phase: str) -> None:
            for listener in listeners:
                listener(fraction, phase)

        async def carried_out() -> tuple[StageRow, bool]:
            if after is not None:
                # Given up a moment ago, and wanted again: its worker is still being killed.
                await asyncio.wait([after.task])
            # Once more: it may have been kept since the caller looked.
            kept = await self.kept([stage])
            if kept:
                self.counts.found += 1
                return kept[0], True
            row = await self._carry_out(ground, stage, before, told)
            await self._database.transact(stages.keep, row)
            self.counts.run += 1
            logger.info("%s is kept: %d run, %d shared", row.steps, self.counts.run, self.counts.shared)
            await self._bench.forget_checkpoints(stage.id)
            return row, False

        running = _Running(
            task=asyncio.create_task(carried_out(), name=f"stage {stage.id}"), listeners=listeners
        )
        self._running[stage.id] = running

        def ended(_task: asyncio.Task[tuple[StageRow, bool]]) -> None:
            if self._running.get(stage.id) is running:
                del self._running[stage.id]

        running.task.add_done_callback(ended)
        return running

    async def _carry_out(
        self,
        ground: Ground,
        stage: Wanted,
        before: StageRow | None,
        progress: Progress | None,
        suffix: str = "",
    ) -> StageRow:
        start = _start(before) if before is not None else None
        named = (ground.source.digest, ground.dataset_blob, start.digest if start else "")
        stage_id = f"{stage.id}{suffix}"
        async with self._bench.exchange(named) as exchange:
            request = StageRequest(
                exchange=exchange,
                stage_id=stage_id,
                model=ground.source,
                dataset_digest=ground.dataset_blob,
                start=start,
                step=stage.step,
                seed=SEED,
            )
            try:
                report = await self._bench.run(
                    worker.apply_stage, request, progress=progress, log_name=stage_id
                )
            except ConversionError:
                # What diverged would diverge again from there.
                await self._bench.forget_checkpoints(stage_id)
                raise
            blob = await self._bench.keep(report.made)
            left = variant_pb2.Stage.FromString(report.stage)
            for given, attachment in zip(report.attachments, left.attachments, strict=True):
                if await self._bench.keep(given) != attachment.digest:
                    raise ConversionError(
                        "a file was damaged on its way from the conversion worker: try again"
                    )
        if suffix:
            await self._bench.forget_checkpoints(stage_id)
        return StageRow(
            id=stage.id,
            model_digest=ground.source.digest,
            steps=stage.steps,
            blob=blob,
            file_name=report.file_name,
            stage=left,
        )


def _start(row: StageRow) -> Start:
    return Start(digest=row.blob, file_name=row.file_name)


def _reused(row: StageRow) -> variant_pb2.Stage:
    stage = variant_pb2.Stage()
    stage.CopyFrom(row.stage)
    stage.reused = True
    return stage
