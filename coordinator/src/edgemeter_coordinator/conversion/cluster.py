"""A Dask cluster as the engine sees it: functions run in worker processes, one at a time in each."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

from edgemeter_converters.messages import Task

T = TypeVar("T")

Progress = Callable[[float, str], None]
"""Told the fraction done, 0 to 1, and a few words."""

NO_WORKER_S = 60.0
"""A cluster without any worker for so long won't get one by itself."""

logger = logging.getLogger(__name__)


class WorkerDiedError(Exception):
    """The worker process was killed, or ran out of memory, each time that the task was tried."""


class Cluster(ABC):
    """Connects when first needed."""

    def __init__(self) -> None:
        self._client: Any = None
        self._starting: asyncio.Task[None] | None = None
        self._calls = 0
        self._free_topics: list[str] = []
        self._topics = 0
        self._listeners: dict[str, Progress] = {}

    @property
    def started(self) -> bool:
        return self._client is not None

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many functions run at a time."""

    @abstractmethod
    async def installed_versions(self) -> Mapping[str, str]:
        """Versions of the distributions that the workers have, by normalized name."""

    async def run(self, function: Callable[..., T], *args: Any, progress: Progress | None = None) -> T:
        """`function(*args)` in a worker; waits for a free one. Cancelling this stops the work.

        Args:
            function: and its arguments are pickled.
            progress: where given, the first argument is a `Task`, whose progress it is told.

        Raises:
            WorkerDiedError: or what the function raises.
        """
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        async with self._slot():
            client = await self._connected()
            with_topic = self._listening(client, args, progress)
            async with with_topic as told:
                self._calls += 1
                future = self._submit(
                    client, function, told, f"{getattr(function, '__name__', 'task')}-{self._calls}"
                )
                try:
                    result: T = await self._result(future)
                except KilledWorker:
                    raise WorkerDiedError(self._death()) from None
                except FutureCancelledError:
                    raise WorkerDiedError(await self._lost()) from None
                except asyncio.CancelledError:
                    # Shielded, for the canceller may not wait.
                    await asyncio.shield(self._stop_task(future))
                    raise
                finally:
                    future.release()
                return result

    async def close(self) -> None:
        """Lets the cluster go, with what it is doing for us."""
        if self._starting is not None and not self._starting.done():
            await asyncio.wait([self._starting])
        await self._end()

    @abstractmethod
    def _slot(self) -> AbstractAsyncContextManager[None]:
        """Held for the time of a task."""

    @abstractmethod
    async def _start(self) -> Any:
        """An asynchronous client."""

    @abstractmethod
    async def _end(self) -> None:
        """Lets the client go."""

    @abstractmethod
    async def _has_workers(self) -> bool: ...

    @abstractmethod
    async def _stop_task(self, future: Any) -> None:
        """Takes a task from the cluster."""

    @abstractmethod
    def _death(self) -> str:
        """What a task's end by its worker's death is to be called."""

    @abstractmethod
    def _without_workers(self) -> str:
        """What a cluster without workers is to be called."""

    @abstractmethod
    async def _lost(self) -> str:
        """The cluster dropped a task that nobody here took from it: what that is to be called."""

    def _submit(self, client: Any, function: Callable[..., Any], args: tuple[Any, ...], key: str) -> Any:
        return client.submit(function, *args, key=key, pure=False)

    async def _connected(self) -> Any:
        if self._starting is None:
            self._starting = asyncio.create_task(self._connect(), name="start conversion workers")
        starting = self._starting
        try:
            # Shielded: others wait for it too, and half a cluster would leave processes behind.
            await asyncio.shield(starting)
        except asyncio.CancelledError:
            raise
        except BaseException:
            if self._starting is starting:
                self._starting = None
            raise
        return self._client

    async def _connect(self) -> None:
        # Importing it sets its loggers up, which hand on to the service's, and tell of every connection.
        import distributed  # noqa: F401

        logging.getLogger("distributed").setLevel(logging.ERROR)
        self._client = await self._start()
        self._free_topics, self._topics = [], 0

    def _let_go(self) -> Any:
        """The client, which from now on no task gets: the next one connects anew."""
        client = self._client
        self._client = self._starting = None
        return client

    async def _result(self, future: Any) -> Any:
        """What `future` gives. Raises WorkerDiedError where there has been no worker for NO_WORKER_S."""
        waiting = asyncio.ensure_future(future.result())
        try:
            without_s = 0.0
            while without_s < NO_WORKER_S:
                done, _ = await asyncio.wait([waiting], timeout=NO_WORKER_S / 4)
                if done:
                    return waiting.result()
                without_s = 0.0 if await self._has_workers() else without_s + NO_WORKER_S / 4
        finally:
            waiting.cancel()
        await self.close()
        raise WorkerDiedError(self._without_workers())

    @asynccontextmanager
    async def _listening(
        self, client: Any, args: tuple[Any, ...], progress: Progress | None
    ) -> AsyncIterator[tuple[Any, ...]]:
        """The arguments, whose request tells `progress` for as long as this lasts."""
        if progress is None:
            yield args
            return
        request, *others = args
        assert isinstance(request, Task)
        topic = self._topic(client)
        self._listeners[topic] = progress
        try:
            yield (dataclasses.replace(request, topic=topic), *others)
        finally:
            del self._listeners[topic]
            if client is self._client:
                self._free_topics.append(topic)

    def _topic(self, client: Any) -> str:
        """One that no task has: they are used again, since a scheduler never forgets a topic."""
        if self._free_topics:
            return self._free_topics.pop()
        self._topics += 1
        topic = f"{client.id}-{self._topics}"

        def tell(event: tuple[float, Mapping[str, Any]]) -> None:
            listener = self._listeners.get(topic)
            if listener is not None:
                listener(float(event[1]["fraction"]), str(event[1]["phase"]))

        client.subscribe_topic(topic, tell)
        return topic
