"""Where conversions are done: workers, how blobs reach them, and what they leave."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.exchange import Exchange, Given, SharedFolder
from edgemeter_converters.messages import Task
from edgemeter_converters.remote_exchange import CHECKPOINT_KEPT_S, RemoteExchange
from edgemeter_coordinator.blobs import BlobStore
from edgemeter_coordinator.conversion.cluster import Cluster, Progress
from edgemeter_coordinator.conversion.worker_grant import WorkerGrant
from edgemeter_coordinator.refusal import Refused
from edgemeter_protos.v1 import refusal_pb2

T = TypeVar("T")
R = TypeVar("R", bound=Task)

MOST_LOGS = 200
"""Of failed conversions; the oldest go first."""


class Exchanges(Protocol):
    """How blobs reach workers."""

    @property
    def files_are_here(self) -> bool:
        """Whether the paths that workers name are this machine's, and theirs to name."""
        ...

    def opened(self, digests: Iterable[str]) -> AbstractAsyncContextManager[Exchange]:
        """An exchange for one request that names these blobs. Raises Refused where one is missing."""
        ...

    def forget(self, stage_id: str) -> None:
        """Removes a stage's checkpoints, where they are here."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class SharedExchanges:
    """For workers on this machine: blobs are files that they may read."""

    blobs: BlobStore
    scratch_dir: Path
    checkpoints_dir: Path

    @property
    def files_are_here(self) -> bool:
        return True

    @asynccontextmanager
    async def opened(self, digests: Iterable[str]) -> AsyncIterator[Exchange]:
        paths = {digest: str(await asyncio.to_thread(self.blobs.require, digest)) for digest in digests}
        with tempfile.TemporaryDirectory(dir=self.scratch_dir) as folder:
            yield SharedFolder(paths=paths, folder=folder, checkpoints=str(self.checkpoints_dir))

    def forget(self, stage_id: str) -> None:
        shutil.rmtree(self.checkpoints_dir / stage_id, ignore_errors=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteExchanges:
    """For workers elsewhere: they fetch from the blob interface, and put there what they made."""

    blobs: BlobStore
    grant: WorkerGrant
    # "HOST:PORT", as workers dial it.
    address: str
    ca_pem: str

    @property
    def files_are_here(self) -> bool:
        return False

    @asynccontextmanager
    async def opened(self, digests: Iterable[str]) -> AsyncIterator[Exchange]:
        named = list(digests)
        for digest in named:
            await asyncio.to_thread(self.blobs.require, digest)
        with self.grant.reading(named):
            yield RemoteExchange(address=self.address, ca_certificate=self.ca_pem, token=self.grant.token)

    def forget(self, stage_id: str) -> None:
        """They are on the workers' machines, which remove old ones themselves."""


class Workbench:
    """One for a coordinator."""

    def __init__(self, *, cluster: Cluster, exchanges: Exchanges, blobs: BlobStore, logs_dir: Path) -> None:
        self.cluster = cluster
        self._exchanges = exchanges
        self._blobs = blobs
        self._logs_dir = logs_dir

    @property
    def slots(self) -> int:
        """How many requests are worked on at a time."""
        return self.cluster.slots

    async def installed_versions(self) -> Mapping[str, str]:
        """Of the workers' distributions. Raises WorkerDiedError where the workers can't be used."""
        return await self.cluster.installed_versions()

    def exchange(self, digests: Iterable[str]) -> AbstractAsyncContextManager[Exchange]:
        """For one request that names these blobs; empty ones don't count. Raises Refused."""
        return self._exchanges.opened(dict.fromkeys(filter(None, digests)))

    async def run(
        self,
        function: Callable[[R], T],
        request: R,
        *,
        progress: Progress | None = None,
        log_name: str = "",
    ) -> T:
        """What a worker answers; cancelling stops the work.

        Args:
            log_name: under which the tools' output is kept where this fails; empty to keep none.

        Raises:
            ConversionError, WorkerDiedError: as the worker says; the first names the kept log.
        """
        try:
            return await self.cluster.run(function, request, progress=progress)
        except ConversionError as error:
            kept = await asyncio.to_thread(self._keep_log, error, log_name) if log_name else None
            if kept is None:
                raise
            raise ConversionError(
                f"{error.message} (what the converter printed: {kept})",
                reason=error.reason,
                log_tail=error.log_tail,
                log_path=str(kept),
            ) from error

    async def keep(self, given: Given) -> str:
        """The digest of the blob that a worker's file is now. Raises Refused (DISK_FULL, BLOB_MISSING)."""
        if given.digest or not self._exchanges.files_are_here:
            await asyncio.to_thread(self._blobs.require, given.digest)
            return given.digest
        return await asyncio.to_thread(self._blobs.add_file, Path(given.path))

    async def is_whole(self, digest: str) -> bool:
        """Whether a blob is there and undamaged."""
        try:
            await asyncio.to_thread(self._blobs.require, digest)
        except Refused:
            return False
        return True

    async def forget_checkpoints(self, stage_id: str) -> None:
        """What a stage that has ended would have resumed from."""
        await asyncio.to_thread(self._exchanges.forget, stage_id)

    async def close(self) -> None:
        """Ends the workers, with what they are doing for us."""
        await self.cluster.close()

    def _keep_log(self, error: ConversionError, name: str) -> Path | None:
        """Copies the whole log, or what came along of it, out of the request's folder."""
        if not error.log_tail:
            return None
        self._logs_dir.mkdir(parents=True, exist_ok=True)
        kept = self._logs_dir / f"{name}.log"
        if self._exchanges.files_are_here and error.log_path:
            shutil.copyfile(error.log_path, kept)
        else:
            kept.write_text(error.log_tail, encoding="utf-8")
        for path in sorted(self._logs_dir.glob("*.log"), key=lambda each: each.stat().st_mtime)[:-MOST_LOGS]:
            path.unlink(missing_ok=True)
        return kept


def remove_old_checkpoints(folder: Path) -> None:
    """Those that nobody came back for."""
    for each in folder.iterdir() if folder.is_dir() else ():
        if time.time() - each.stat().st_mtime > CHECKPOINT_KEPT_S:
            shutil.rmtree(each, ignore_errors=True)


def refused(error: ConversionError, context: str = "") -> Refused:
    """What a user reads of a converter's refusal."""
    reason = error.reason or refusal_pb2.REFUSAL_REASON_BAD_REQUEST
    return Refused(refusal_pb2.RefusalReason.ValueType(reason), f"{context}{error.message}")
