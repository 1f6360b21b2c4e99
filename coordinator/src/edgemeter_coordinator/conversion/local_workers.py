"""The usual cluster: worker processes on this machine, started when first needed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from edgemeter_converters import identity
from edgemeter_coordinator.conversion.capacity import Capacity
from edgemeter_coordinator.conversion.cluster import Cluster
from edgemeter_coordinator.conversion.worker_folder import remove_left, run_in_own_folder

ALLOWED_DEATHS = 1
"""A worker may die of its neighbours' memory use: a task gets a second one, and no third."""

WORKER_TTL = "15 minutes"
"""A worker that says nothing for so long is given up. Converters hold the interpreter's lock for minutes,
and nothing is heard of a worker in that time."""

IDLE_S = 300.0
"""After so long without a task the workers end: with TensorFlow loaded each holds some 600 MB."""

WORKER_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": "-1"}

logger = logging.getLogger(__name__)


class LocalWorkers(Cluster):
    """Processes of our own.

    Workers are spawned, not forked: nothing of the service's gRPC threads reaches them. The scheduler
    listens on loopback, behind TLS with keys made for this cluster, since whoever could reach it could
    run code.
    """

    def __init__(self, *, capacity: Capacity, scratch_dir: Path, idle_s: float = IDLE_S) -> None:
        super().__init__()
        self.capacity = capacity
        self._idle_s = idle_s
        self._scratch_dir = scratch_dir
        # What converters write there stays behind where their process is killed.
        self._temporary_dir = scratch_dir / "temporary"
        self._free = asyncio.Semaphore(capacity.workers)
        self._cluster: Any = None
        self._versions: Mapping[str, str] | None = None
        self._running = 0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._idle_close: asyncio.Task[None] | None = None

    @property
    def slots(self) -> int:
        return self.capacity.workers

    async def installed_versions(self) -> Mapping[str, str]:
        if self._versions is None:
            self._versions = await asyncio.to_thread(identity.installed_versions)
        return self._versions

    async def close(self) -> None:
        """Ends the worker processes, with what they are doing."""
        self._keep_open()
        await super().close()

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """Keeps the workers for the time of a task and IDLE_S after it."""
        async with self._free:
            self._keep_open()
            self._running += 1
            try:
                async with self._without_leftovers():
                    yield
            finally:
                self._running -= 1
                if not self._running:
                    self._idle_timer = asyncio.get_running_loop().call_later(self._idle_s, self._close_idle)

    @contextlib.asynccontextmanager
    async def _without_leftovers(self) -> AsyncIterator[None]:
        """Removes what workers left that died meanwhile, or were killed since their task was cancelled."""
        try:
            yield
        finally:
            await asyncio.to_thread(remove_left, self._temporary_dir)

    def _keep_open(self) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None

    def _close_idle(self) -> None:
        logger.info("the conversion workers end: nothing to convert for %.0f s", self._idle_s)
        self._idle_close = asyncio.create_task(
            self._close_both(self._let_go(), self._let_cluster_go()), name="end idle conversion workers"
        )

    async def _end(self) -> None:
        await self._close_both(self._let_go(), self._let_cluster_go())

    def _let_cluster_go(self) -> Any:
        cluster, self._cluster = self._cluster, None
        return cluster

    async def _close_both(self, client: Any, cluster: Any) -> None:
        if client is not None:
            await client.close()
        if cluster is not None:
            await cluster.close()
        await asyncio.to_thread(remove_left, self._temporary_dir)

    def _submit(self, client: Any, function: Callable[..., Any], args: tuple[Any, ...], key: str) -> Any:
        own = partial(run_in_own_folder, self._temporary_dir, function)
        return super()._submit(client, own, args, key)

    async def _lost(self) -> str:
        # Only we end it, and then it is let go already.
        return "the conversion workers were stopped"

    async def _has_workers(self) -> bool:
        return self._cluster is not None and bool(self._cluster.scheduler.workers)

    def _death(self) -> str:
        return (
            f"the conversion worker died {ALLOWED_DEATHS + 1} times: it was killed, it crashed, or it needed "
            f"more than its {self.capacity.memory_limit_bytes / 1e9:.1f} GB of memory"
        )

    def _without_workers(self) -> str:
        return "no conversion worker could be started: the coordinator's log says more"

    async def _start(self) -> Any:
        # Here, since it costs half a second that a coordinator with nothing to convert need not pay.
        import dask
        from distributed import Client, LocalCluster

        self._scratch_dir.mkdir(parents=True, exist_ok=True)
        # These workers may have others than those before them.
        versions = asyncio.create_task(asyncio.to_thread(identity.installed_versions))
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
                client = await Client(cluster, asynchronous=True)
            except BaseException:
                await cluster.close()
                raise
        self._cluster, self._versions = cluster, await versions
        logger.info(
            "%d conversion workers of %.1f GB", self.capacity.workers, self.capacity.memory_limit_bytes / 1e9
        )
        return client

    async def _stop_task(self, future: Any) -> None:
        """Takes a task from the cluster; kills the worker process that is at it, since a thread can't be."""
        if self._client is None:
            return
        task = self._cluster.scheduler.tasks.get(future.key)
        busy = task.processing_on.address if task is not None and task.processing_on is not None else None
        await future.cancel()
        if busy is not None:
            await self._client.restart_workers([busy], timeout=30, raise_for_error=False)
