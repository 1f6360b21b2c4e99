"""Stages are carried out once for all who want them, and for as long as anybody does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from edgemeter_converters import recipes
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.exchange import Given
from edgemeter_converters.identity import Sources
from edgemeter_converters.messages import ModelSource, StageReport, StageRequest
from edgemeter_coordinator.conversion.ground import Ground
from edgemeter_coordinator.conversion.stages import Begun, Stages, Wanted, wanted
from edgemeter_coordinator.store.database import Database
from edgemeter_protos.v1 import variant_pb2
from tests import lab_rows

MODEL = lab_rows.digest("model of study")


class Bench:
    """Workers that do a step when they are told to, or fail as they are told."""

    def __init__(self) -> None:
        self.asked: list[StageRequest] = []
        self.stopped: list[str] = []
        self.forgotten: list[str] = []
        self.lost: set[str] = set()
        # By the digest that the worker tells, the one of what arrives.
        self.attached: dict[str, str] = {}
        self.go = asyncio.Event()
        self.error: Exception | None = None

    @asynccontextmanager
    async def exchange(self, digests: Iterable[str]) -> AsyncIterator[Any]:
        yield cast("Any", tuple(digests))

    async def run(
        self,
        function: Callable[..., Any],
        request: StageRequest,
        *,
        progress: Callable[[float, str], None] | None = None,
        log_name: str = "",
    ) -> StageReport:
        assert function.__name__ == "apply_stage"
        self.asked.append(request)
        try:
            if progress is not None:
                progress(0.5, f"at {request.step}")
            await self.go.wait()
        except asyncio.CancelledError:
            self.stopped.append(request.step)
            raise
        if self.error is not None:
            raise self.error
        stage = variant_pb2.Stage(
            step=request.step,
            duration_ns=7,
            attachments=[variant_pb2.Attachment(name=name, digest=name) for name in self.attached],
        )
        return StageReport(
            made=Given(digest=lab_rows.digest(request.step)),
            file_name="stage.keras",
            stage=stage.SerializeToString(),
            attachments=tuple(Given(digest=name) for name in self.attached.values()),
        )

    async def keep(self, given: Given) -> str:
        return given.digest

    async def is_whole(self, digest: str) -> bool:
        return digest not in self.lost

    async def forget_checkpoints(self, stage_id: str) -> None:
        self.forgotten.append(stage_id)

    @property
    def steps(self) -> list[str]:
        return [request.step for request in self.asked]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.in_directory(tmp_path)
    database.migrate()
    database.run(lab_rows.add_study, [])
    yield database
    database.close()


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def stages(database: Database, bench: Bench) -> Stages:
    return Stages(database=database, bench=cast("Any", bench))


def ground() -> Ground:
    return Ground(
        source=ModelSource(digest=MODEL, file_name="model.keras"),
        sources=Sources(model_digest=MODEL, framework="keras", training_digest="t", seed=0),
        dataset_blob="d",
    )


def chain(recipe: str) -> tuple[Wanted, ...]:
    return wanted(ground(), recipes.parse(recipe), {"keras": "3"})


async def begin(
    stages: Stages, recipe: str, told: list[tuple[float, str]] | None = None, waits: list[bool] | None = None
) -> Begun:
    return await stages.begin(
        ground(),
        chain(recipe),
        progress=lambda fraction, phase: None if told is None else told.append((fraction, phase)),
        waits=lambda waiting: None if waits is None else waits.append(waiting),
    )


async def settle() -> None:
    """Lets everything go as far as it goes by itself; the database answers from a thread."""
    await asyncio.sleep(0.4)


def reused(begun: Begun) -> list[bool]:
    return [stage.reused for stage in begun.stages]


def test_recipes_that_begin_alike_want_the_same_stages() -> None:
    first, second = chain("low-rank(0.5)+prune(0.5)"), chain("low-rank(0.5)+prune(0.5)+int8")
    assert first == second
    assert [each.steps for each in first] == ["low-rank(0.5)", "low-rank(0.5)+prune(0.5)"]
    assert chain("prune(0.5)")[0].id != first[1].id
    assert chain("int8") == ()


async def test_a_recipe_that_only_encodes_begins_with_nothing(stages: Stages, bench: Bench) -> None:
    assert await begin(stages, "int8") == Begun()
    assert bench.asked == []


async def test_two_who_want_a_stage_share_it(stages: Stages, bench: Bench) -> None:
    told: list[tuple[float, str]] = []
    waits: list[bool] = []
    first = asyncio.create_task(begin(stages, "prune(0.5)"))
    await settle()
    second = asyncio.create_task(begin(stages, "prune(0.5)+int8", told, waits))
    await settle()
    assert waits == [True]
    bench.go.set()
    begun = await asyncio.gather(first, second)
    assert bench.steps == ["prune(0.5)"]
    assert [reused(each) for each in begun] == [[False], [True]]
    assert begun[0].start == begun[1].start
    assert waits == [True, False]
    assert (stages.counts.run, stages.counts.shared, stages.counts.found) == (1, 1, 0)
    assert bench.forgotten == [chain("prune(0.5)")[0].id]


async def test_what_is_kept_is_found_by_another_process(
    stages: Stages, bench: Bench, database: Database
) -> None:
    bench.go.set()
    await begin(stages, "low-rank(0.5)+prune(0.5)")
    later = Stages(database=database, bench=cast("Any", bench))
    begun = await begin(later, "low-rank(0.5)+prune(0.5)+int8")
    assert reused(begun) == [True, True]
    assert (later.counts.run, later.counts.found) == (0, 2)
    # One more step goes on from there.
    begun = await begin(later, "low-rank(0.5)+prune(0.5)+cluster(16)")
    assert reused(begun) == [True, True, False]
    assert bench.asked[-1].start is not None
    assert bench.asked[-1].start.digest == lab_rows.digest("prune(0.5)")


async def test_a_stage_whose_file_was_lost_is_carried_out_again(
    stages: Stages, bench: Bench, database: Database
) -> None:
    bench.go.set()
    await begin(stages, "low-rank(0.5)+prune(0.5)")
    bench.lost.add(lab_rows.digest("prune(0.5)"))
    begun = await begin(Stages(database=database, bench=cast("Any", bench)), "low-rank(0.5)+prune(0.5)")
    assert bench.steps == ["low-rank(0.5)", "prune(0.5)", "prune(0.5)"]
    assert reused(begun) == [True, False]


async def test_a_stage_goes_on_for_as_long_as_anybody_waits_for_it(stages: Stages, bench: Bench) -> None:
    first = asyncio.create_task(begin(stages, "prune(0.5)"))
    await settle()
    second = asyncio.create_task(begin(stages, "prune(0.5)+int8"))
    await settle()
    first.cancel()
    await settle()
    assert bench.stopped == []
    second.cancel()
    await settle()
    assert bench.stopped == ["prune(0.5)"]
    assert all(task.cancelled() for task in (first, second))
    # Its checkpoints stay, for whoever wants it again.
    assert bench.forgotten == []
    bench.go.set()
    assert reused(await begin(stages, "prune(0.5)")) == [False]
    assert bench.steps == ["prune(0.5)", "prune(0.5)"]


async def test_a_stage_that_fails_fails_for_all_who_wait_and_may_be_tried_again(
    stages: Stages, bench: Bench
) -> None:
    bench.error = ConversionError("the loss is NaN")
    both = [asyncio.create_task(begin(stages, recipe)) for recipe in ("prune(0.5)", "prune(0.5)+int8")]
    await settle()
    bench.go.set()
    failed = await asyncio.gather(*both, return_exceptions=True)
    assert [str(each) for each in failed] == ["the loss is NaN"] * 2
    # From where it diverged it would diverge again.
    assert bench.forgotten == [chain("prune(0.5)")[0].id]
    bench.error = None
    assert reused(await begin(stages, "prune(0.5)")) == [False]


async def test_progress_is_of_what_is_left_to_do(stages: Stages, bench: Bench) -> None:
    bench.go.set()
    told: list[tuple[float, str]] = []
    await begin(stages, "low-rank(0.5)+prune(0.5)", told)
    assert told == [(0.25, "at low-rank(0.5)"), (0.75, "at prune(0.5)")]
    told.clear()
    await begin(stages, "low-rank(0.5)+cluster(16)", told)
    assert told == [(0.5, "at cluster(16)")]


async def test_alone_everything_is_done_anew_and_nothing_is_kept(
    stages: Stages, bench: Bench, database: Database
) -> None:
    bench.go.set()
    await begin(stages, "low-rank(0.5)+prune(0.5)")
    begun = await stages.begin_alone(ground(), chain("low-rank(0.5)+prune(0.5)"))
    assert bench.steps == ["low-rank(0.5)", "prune(0.5)"] * 2
    assert reused(begun) == [False, False]
    # Its checkpoints are no one else's.
    ids = [each.id for each in chain("low-rank(0.5)+prune(0.5)")]
    assert [request.stage_id for request in bench.asked[2:]] == [f"{each}-again" for each in ids]
    assert stages.counts.run == 2


async def test_stopping_stops_what_is_being_done(stages: Stages, bench: Bench) -> None:
    task = asyncio.create_task(begin(stages, "prune(0.5)"))
    await settle()
    await stages.stop()
    assert bench.stopped == ["prune(0.5)"]
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_a_stage_leaves_beside_is_kept_with_it(stages: Stages, bench: Bench) -> None:
    bench.attached = {"adapter": "adapter"}
    bench.go.set()
    first = await begin(stages, "prune(0.5)")
    assert [each.name for each in first.stages[0].attachments] == ["adapter"]
    again = await begin(stages, "prune(0.5)")
    assert again.stages[0].reused
    assert [each.name for each in again.stages[0].attachments] == ["adapter"]
    assert len(bench.asked) == 1
    # Without its file the stage is not whole.
    bench.lost = {"adapter"}
    await begin(stages, "prune(0.5)")
    assert len(bench.asked) == 2


async def test_an_attachment_that_was_damaged_on_its_way(stages: Stages, bench: Bench) -> None:
    bench.attached = {"adapter": "something else"}
    bench.go.set()
    with pytest.raises(ConversionError, match="damaged on its way"):
        await begin(stages, "prune(0.5)")
