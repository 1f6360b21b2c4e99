"""A Dask cluster that somebody else runs: its workers need edgemeter-converters, and nothing else of ours."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from edgemeter_converters import identity, remote_exchange
from edgemeter_coordinator.conversion.cluster import Cluster, WorkerDiedError

CONNECT_S = 15.0
SIZE_EVERY_S = 5.0
"""How old the known number of workers may be: clusters grow and shrink."""

logger = logging.getLogger(__name__)


class NoClusterError(Exception):
    """The cluster can't be used: one line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scheduler:
    """Where a cluster's scheduler is, "tcp://HOST:PORT" or "tls://HOST:PORT", and the files that prove it and
    us; what is None is as Dask's own configuration says."""

    address: str
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None


class ExistingCluster(Cluster):
    """Used, not owned: a cancelled task is taken back, but no process is killed, so that one that is running
    runs to its end there, and its result is dropped.

    A worker process does one thing at a time, however many threads it has, since what converters print
    belongs to the process.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler
        self._workers = 1
        self._sizing: asyncio.Task[None] | None = None
        self._versions: Mapping[str, str] | None = None

    @property
    def slots(self) -> int:
        return max(1, self._workers)

    async def connect(self) -> None:
        """Raises NoClusterError where no scheduler answers."""
        try:
            await self._connected()
        except (OSError, ValueError, TypeError) as error:
            why = " ".join(str(error).split())
            raise NoClusterError(
                f"no Dask scheduler answers at {self._scheduler.address} ({why[:200]}): is it running there, "
                "and are --dask-ca, --dask-cert and --dask-key its own?"
            ) from error

    async def installed_versions(self) -> Mapping[str, str]:
        """As one worker has them; all are taken to be alike.

        Raises WorkerDiedError where they can't be used.
        """
        if self._versions is None:
            try:
                versions = await self.run(identity.installed_versions)
            except (ImportError, AttributeError, RuntimeError) as error:
                raise WorkerDiedError(
                    f"the workers of {self._scheduler.address} can't run edgemeter-converters "
                    f"({' '.join(str(error).split())[:200]}): install it there"
                ) from error
            ours, theirs = metadata.version("edgemeter-converters"), versions.get("edgemeter-converters")
            if theirs != ours:
                raise WorkerDiedError(
                    f"the workers of {self._scheduler.address} have edgemeter-converters {theirs}, this "
                    f"coordinator has {ours}: install the same there"
                )
            self._versions = versions
        return self._versions

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        # The scheduler queues what its workers have no room for.
        yield

    def _submit(self, client: Any, function: Callable[..., Any], args: tuple[Any, ...], key: str) -> Any:
        return client.submit(remote_exchange.alone, function, *args, key=key, pure=False)

    async def _start(self) -> Any:
        from distributed import Client
        from distributed.security import Security

        files = {
            "tls_ca_file": self._scheduler.ca_file,
            "tls_client_cert": self._scheduler.certificate_file,
            "tls_client_key": self._scheduler.key_file,
        }
        given = {name: str(path) for name, path in files.items() if path is not None}
        client = Client(
            self._scheduler.address,
            security=Security(**given),
            asynchronous=True,
            timeout=CONNECT_S,
            set_as_default=False,
        )
        try:
            await client
        except BaseException:
            await client.close()
            raise
        await self._count(client)
        self._versions = None
        self._sizing = asyncio.create_task(self._keep_counting(client), name="count Dask workers")
        logger.info("the Dask cluster at %s: %d workers", self._scheduler.address, self._workers)
        return client

    async def _end(self) -> None:
        client = self._let_go()
        if self._sizing is not None:
            self._sizing.cancel()
            self._sizing = None
        if client is not None:
            await client.close()

    async def _lost(self) -> str:
        """The scheduler restarted, or the network was cut: the next task connects anew."""
        await self._end()
        return f"the Dask cluster at {self._scheduler.address} was restarted or cut off: try again"

    async def _has_workers(self) -> bool:
        return self._client is not None and await self._count(self._client)

    async def _keep_counting(self, client: Any) -> None:
        while client is self._client or self._client is None:
            await asyncio.sleep(SIZE_EVERY_S)
            await self._count(client)

    async def _count(self, client: Any) -> bool:
        try:
            about = await client.scheduler.identity(n_workers=0)
        except (OSError, AttributeError):
            return False  # it reconnects, or is lost; then its tasks say so
        self._workers = int(about["n_workers"])
        return self._workers > 0

    async def _stop_task(self, future: Any) -> None:
        await future.cancel()

    def _death(self) -> str:
        return (
            f"the worker of the Dask cluster at {self._scheduler.address} died each time that it was tried: "
            "it was killed, it crashed, or it ran out of memory"
        )

    def _without_workers(self) -> str:
        return f"the Dask cluster at {self._scheduler.address} has had no worker for a minute: start one"
