"""Functions in worker processes: what comes back when the process dies, hangs or can't be had."""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from edgemeter_coordinator.conversion import cluster as module
from edgemeter_coordinator.conversion.capacity import capacity
from edgemeter_coordinator.conversion.cluster import WorkerDiedError
from edgemeter_coordinator.conversion.local_workers import LocalWorkers

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalWorkers]:
    cluster = LocalWorkers(
        capacity=capacity(cpu_count=2, memory_bytes=4_000_000_000, workers=1),
        scratch_dir=tmp_path_factory.mktemp("scratch"),
    )
    yield cluster
    await cluster.close()


async def test_a_function_runs_in_another_process(cluster: LocalWorkers) -> None:
    assert not cluster.started
    assert await cluster.run(os.getpid) != os.getpid()
    # Spawned: nothing of ours but what it imports itself.
    assert not await cluster.run(eval, "'pytest' in __import__('sys').modules.get('builtins').__dict__")
    assert cluster.started


async def test_it_listens_on_loopback_only(cluster: LocalWorkers) -> None:
    await cluster.run(os.getpid)
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    listening = [
        connection.laddr.ip
        for process in processes
        for connection in process.net_connections()
        if connection.status == psutil.CONN_LISTEN
    ]
    # The mapped one: what other tests' servers in this process may still hold.
    assert "127.0.0.1" in listening
    assert set(listening) <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


async def test_what_a_function_raises_comes_back(cluster: LocalWorkers) -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        await cluster.run(int, "x")


async def test_a_process_that_dies_twice_is_given_up_and_the_next_task_runs(cluster: LocalWorkers) -> None:
    with pytest.raises(WorkerDiedError, match="died 2 times"):
        await cluster.run(os._exit, 9)
    assert await cluster.run(sum, [1, 2]) == 3


async def test_cancelling_kills_the_process(cluster: LocalWorkers) -> None:
    before = await cluster.run(os.getpid)
    process = psutil.Process(before)
    hanging = asyncio.create_task(cluster.run(time.sleep, 600))
    await asyncio.sleep(0.5)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert await cluster.run(os.getpid) != before
    assert not process.is_running()


async def test_a_process_s_temporary_files_end_with_it(tmp_path: Path) -> None:
    cluster = LocalWorkers(
        capacity=capacity(cpu_count=2, memory_bytes=4_000_000_000, workers=1), scratch_dir=tmp_path
    )
    made = await cluster.run(tempfile.mkdtemp)
    own = tmp_path / "temporary" / str(await cluster.run(os.getpid))
    assert Path(made).parent == own
    # Programs that a converter starts put theirs there too.
    assert await cluster.run(os.getenv, "TMPDIR") == str(own)
    assert os.getenv("TMPDIR") != str(own)
    with pytest.raises(WorkerDiedError):
        await cluster.run(os._exit, 9)
    # At the end of the next task at the latest: one that dies is not gone at once.
    assert await cluster.run(os.getpid) == left_in(tmp_path)
    hanging = asyncio.create_task(cluster.run(time.sleep, 600))
    await asyncio.sleep(0.5)
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert await cluster.run(os.getpid) == left_in(tmp_path)
    await cluster.close()
    assert left_in(tmp_path) is None


def left_in(scratch_dir: Path) -> int | None:
    """The one process that has a folder, or None for none."""
    pids = [int(folder.name) for folder in (scratch_dir / "temporary").iterdir()]
    assert len(pids) <= 1
    return pids[0] if pids else None


async def test_one_task_a_worker_at_a_time(cluster: LocalWorkers, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    # Each fails where the other is at work: os.mkdir refuses a folder that is there.
    both = [cluster.run(os.mkdir, mark), cluster.run(os.rmdir, mark)]
    await asyncio.gather(*both)
    assert not mark.exists()


async def test_a_cluster_that_lost_its_workers_is_replaced(
    cluster: LocalWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NO_WORKER_S", 2.0)
    await cluster.run(os.getpid)
    await cluster._cluster.scale(0)
    with pytest.raises(WorkerDiedError, match="no conversion worker could be started"):
        await cluster.run(os.getpid)
    assert await cluster.run(os.getpid) != os.getpid()


async def test_a_closed_cluster_leaves_no_worker(tmp_path: Path) -> None:
    cluster = LocalWorkers(
        capacity=capacity(cpu_count=1, memory_bytes=4_000_000_000, workers=1), scratch_dir=tmp_path
    )
    process = psutil.Process(await cluster.run(os.getpid))
    hanging = asyncio.create_task(cluster.run(time.sleep, 600))
    await asyncio.sleep(0.2)
    await cluster.close()
    with pytest.raises(WorkerDiedError, match="stopped"):
        await hanging
    assert not process.is_running()


async def test_idle_workers_end_and_come_back(tmp_path: Path) -> None:
    cluster = LocalWorkers(
        capacity=capacity(cpu_count=2, memory_bytes=4_000_000_000, workers=1),
        scratch_dir=tmp_path,
        idle_s=0.5,
    )
    worker = psutil.Process(await cluster.run(os.getpid))
    for _ in range(200):
        if not worker.is_running():
            break
        await asyncio.sleep(0.05)
    assert not worker.is_running()
    assert not cluster.started
    assert await cluster.run(sum, [1, 2]) == 3
    await cluster.close()
