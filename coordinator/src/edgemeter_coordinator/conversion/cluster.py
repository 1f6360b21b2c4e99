"""The Dask cluster: worker processes on this machine, started when first needed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

from edgemeter_coordinator.conversion.capacity import Capacity

T = TypeVar("T")

ALLOWED_DEATHS = 1
"""A worker may die of its neighbours' memory use: a task gets a second one, and no third."""

WORKER_TTL = "15 minutes"
"""A worker that says nothing for so long is given up. Converters hold the interpreter's lock for minutes,
and nothing is heard of a worker in that time."""

NO_WORKER_S = 60.0
"""A cluster without any worker for so long won't get one: the parent of its processes gave them up."""

IDLE_S = 300.0
"""After so long without a task the workers end: with TensorFlow loaded each holds some 600 MB."""

WORKER_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}

logger = logging.getLogger(__name__)


class WorkerDiedError(Exception):
    """The worker process was killed, or ran out of memory, each time that the task was tried."""


class Cluster:
    """Runs functions in worker processes, one at a time in each.

    Workers are spawned, not forked: nothing of the service's gRPC threads reaches them. The scheduler
    listens on loopback, behind TLS with keys made for this cluster, since whoever could reach it could
    run code.
    """

    def __init__(self, *, capacity: Capacity, scratch_dir: Path, idle_s: float = IDLE_S) -> None:
        self.capacity = capacity
        self._idle_s = idle_s
        self._scratch_dir = scratch_dir
        self._slots = asyncio.Semaphore(capacity.workers)
        self._starting: asyncio.Task[None] | None = None
        self._cluster: Any = None
        self._client: Any = None
        self._calls = 0
        self._running = 0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_close: asyncio.Task[None] | None = None

    @property
    def started(self) -> bool:
        return self._client is not None

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """`function(*args)` in a worker; waits for a free one. Cancelling this kills the worker's process.

        Raises WorkerDiedError, or what the function raises. Function and arguments are pickled.
        """
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker

        async with self._slots, self._in_use():
            client = await self._started()
            self._calls += 1
            future = client.submit(
                function, *args, key=f"{getattr(function, '__name__', 'task')}-{self._calls}", pure=False
            )
            try:
                result: T = await self._result(future)
            except KilledWorker:
                limit_gb = self.capacity.memory_limit_bytes / 1e9
                raise WorkerDiedError(
                    f"the conversion worker died {ALLOWED_DEATHS + 1} times: it was killed, it crashed, or "
                    f"it needed more than its {limit_gb:.1f} GB of memory"
                ) from None
            except FutureCancelledError:
                raise WorkerDiedError("the conversion workers were stopped") from None
            except asyncio.CancelledError:
                # A thread can't be stopped, so its process is; shielded, for the canceller may not wait.
                await asyncio.shield(self._kill(future))
                raise
            finally:
                future.release()
            return result

    @contextlib.asynccontextmanager
    async def _in_use(self) -> AsyncIterator[None]:
        """Keeps the workers for the time of a task and IDLE_S after it."""
        self._keep_open()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._idle_timer = asyncio.get_running_loop().call_later(self._idle_s, self._close_idle)

    def _keep_open(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _close_idle(self) -> None:
        logger.info("the conversion workers end: nothing to convert for %.0f s", self._idle_s)
        self._idle_close = asyncio.create_task(self._end(*self._let_go()), name="end idle conversion workers")

    async def _result(self, future: Any) -> Any:
        """What `future` gives. Raises WorkerDiedError where there has been no worker for NO_WORKER_S."""
        waiting = asyncio.ensure_future(future.result())
        try:
            without_s = 0.0
            while without_s < NO_WORKER_S:
                done, _ = await asyncio.wait([waiting], timeout=NO_WORKER_S / 4)
                if done:
                    return waiting.result()
                there = self._cluster is not None and self._cluster.scheduler.workers
                without_s = 0.0 if there else without_s + NO_WORKER_S / 4
        finally:
            waiting.cancel()
        await self.close()
        raise WorkerDiedError("no conversion worker could be started: the coordinator's log says more")

    async def close(self) -> None:
        """Ends the worker processes, with what they are doing."""
        self._keep_open()
        if self._starting is not None and not self._starting.done():
            await asyncio.wait([self._starting])
        await self._end(*self._let_go())

    def _let_go(self) -> tuple[Any, Any]:
        """Client and cluster, which from now on no task gets: the next one starts others."""
        client, cluster = self._client, self._cluster
        self._client = self._cluster = self._starting = None
        return client, cluster

    async def _end(self, client: Any, cluster: Any) -> None:
        if client is not None:
            await client.close()
        if cluster is not None:
            await cluster.close()

    async def _started(self) -> Any:
        if self._starting is None:
            self._starting = asyncio.create_task(self._start(), name="start conversion workers")
        try:
            # Shielded: others wait for it too, and half a cluster would leave processes behind.
            await asyncio.shield(self._starting)
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._starting = None
            raise
        return self._client

    async def _start(self) -> None:
        # Here, since it costs half a second that a coordinator with nothing to convert need not pay.
        import dask
        from distributed import Client, LocalCluster

        # Its loggers hand on to the service's, and tell of every connection.
        logging.getLogger("distributed").setLevel(logging.ERROR)
        self._scratch_dir.mkdir(parents=True, exist_ok=True)
        environment = dask.config.get("distributed.nanny.pre-spawn-environ")
        settings = {
            "distributed.worker.multiprocessing-method": "spawn",
            # A worker keeps what TensorFlow once took, so it must not stop at a threshold, only at the limit.
            "distributed.worker.memory.target": False,
            "distributed.worker.memory.spill": False,
            "distributed.worker.memory.pause": False,
            "distributed.worker.memory.terminate": 0.95,
            "distributed.scheduler.worker-ttl": WORKER_TTL,
            # Its HTTP servers can't be turned off; they stay on loopback and know no page.
            "distributed.scheduler.http.routes": [],
            "distributed.worker.http.routes": [],
            # What watches the workers would keep a tenth of a core busy beside a board's measurement: samples
            # of their stacks every 10 ms, of the interpreter's lock every 1 ms, ticks every 20 ms.
            "distributed.worker.profile.enabled": False,
            "distributed.admin.system-monitor.gil.enabled": False,
            "distributed.admin.system-monitor.interval": "10s",
            "distributed.admin.tick.interval": "1s",
            "distributed.nanny.pre-spawn-environ": {**environment, **WORKER_ENVIRONMENT},
        }
        with dask.config.set(settings):
            cluster = await LocalCluster(
                n_workers=self.capacity.workers,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                scheduler_port=0,
                dashboard_address="127.0.0.1:0",
                worker_dashboard_address="127.0.0.1:0",
                security=True,
                memory_limit=self.capacity.memory_limit_bytes,
                local_directory=str(self._scratch_dir),
                scheduler_kwargs={"allowed_failures": ALLOWED_DEATHS, "dashboard": False},
                silence_logs=logging.CRITICAL,
                asynchronous=True,
            )
            try:
                self._client = await Client(cluster, asynchronous=True)
            except BaseException:
                await cluster.close()
                raise
        self._cluster = cluster
        logger.info(
            "%d conversion workers of %.1f GB", self.capacity.workers, self.capacity.memory_limit_bytes / 1e9
        )

    async def _kill(self, future: Any) -> None:
        """Takes a task from the cluster; kills the worker process that is at it."""
        if self._client is None:
            return
        task = self._cluster.scheduler.tasks.get(future.key)
        busy = task.processing_on.address if task is not None and task.processing_on is not None else None
        await future.cancel()
        if busy is not None:
            await self._client.restart_workers([busy], timeout=30, raise_for_error=False)
