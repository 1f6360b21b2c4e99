"""What a failed conversion leaves, and what is cleared away."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.exchange import Given, SharedFolder
from edgemeter_converters.remote_exchange import CHECKPOINT_KEPT_S
from edgemeter_coordinator.blobs import BlobStore
from edgemeter_coordinator.conversion import workbench as module
from edgemeter_coordinator.conversion.workbench import (
    RemoteExchanges,
    SharedExchanges,
    Workbench,
    remove_old_checkpoints,
)
from edgemeter_coordinator.conversion.worker_grant import WorkerGrant
from edgemeter_coordinator.refusal import Refused
from tests import lab_rows


class Failing:
    """A cluster whose every task fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def run(self, function: Callable[..., Any], *args: Any, progress: Any = None) -> Any:
        raise self.error


def bench(tmp_path: Path, error: Exception | None = None) -> Workbench:
    blobs = BlobStore(tmp_path / "blobs")
    (tmp_path / "scratch").mkdir()
    exchanges = SharedExchanges(
        blobs=blobs, scratch_dir=tmp_path / "scratch", checkpoints_dir=tmp_path / "checkpoints"
    )
    return Workbench(
        cluster=cast("Any", Failing(error or ConversionError("no"))),
        exchanges=exchanges,
        blobs=blobs,
        logs_dir=tmp_path / "logs",
    )


async def failed(bench: Workbench, log_name: str) -> ConversionError:
    with pytest.raises(ConversionError) as caught:
        await bench.run(print, cast("Any", None), log_name=log_name)
    return caught.value


async def test_the_whole_log_is_kept_and_named(tmp_path: Path) -> None:
    log = tmp_path / "made.log"
    log.write_text("line 1\n" * 100 + "op X is not supported\n")
    error = ConversionError("op X", reason=7, log_tail="op X is not supported\n", log_path=str(log))
    raised = await failed(bench(tmp_path, error), "v1")
    kept = tmp_path / "logs" / "v1.log"
    assert kept.read_text() == log.read_text()
    assert raised.message == f"op X (what the converter printed: {kept})"
    assert raised.reason == 7


async def test_of_another_machine_what_came_along_is_kept(tmp_path: Path) -> None:
    # Whatever it names: this machine's files are none of its business.
    own = tmp_path / "owner-token"
    own.write_text("secret")
    error = ConversionError("op X", log_tail="the end\n", log_path=str(own))
    remote = bench(tmp_path, error)
    remote._exchanges = RemoteExchanges(
        blobs=BlobStore(tmp_path / "blobs"), grant=WorkerGrant(), address="a:1", ca_pem=""
    )
    await failed(remote, "v1")
    with pytest.raises(Refused, match="is not a digest"):
        await remote.keep(Given(path=str(own)))
    assert (tmp_path / "logs" / "v1.log").read_text() == "the end\n"


@pytest.mark.parametrize(("tail", "name"), [("", "v1"), ("printed\n", "")])
async def test_nothing_is_kept_where_nothing_was_printed_or_wanted(
    tmp_path: Path, tail: str, name: str
) -> None:
    raised = await failed(bench(tmp_path, ConversionError("no", log_tail=tail)), name)
    assert raised.message == "no"
    assert not (tmp_path / "logs").exists()


async def test_the_oldest_logs_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_LOGS", 2)
    failing = bench(tmp_path, ConversionError("no", log_tail="x"))
    for at, name in enumerate(("a", "b", "c")):
        await failed(failing, name)
        os.utime(tmp_path / "logs" / f"{name}.log", (at, at))
    await failed(failing, "d")
    assert sorted(path.stem for path in (tmp_path / "logs").iterdir()) == ["c", "d"]


async def test_workers_here_get_paths_and_leave_files(tmp_path: Path) -> None:
    here = bench(tmp_path)
    content = tmp_path / "content"
    content.write_bytes(b"model")
    digest = await here.keep(Given(path=str(content)))
    assert digest == lab_rows.digest(b"model")
    assert await here.keep(Given(digest=digest)) == digest
    async with here.exchange([digest, "", digest]) as exchange:
        assert isinstance(exchange, SharedFolder)
        assert exchange.get(digest).read_bytes() == b"model"
        folder = exchange.out_dir()
        assert folder.is_dir()
        checkpoints = exchange.checkpoint_dir("stage")
    assert not folder.exists()
    assert checkpoints.is_dir()
    await here.forget_checkpoints("stage")
    assert not checkpoints.exists()
    assert await here.is_whole(digest)
    assert not await here.is_whole("0" * 64)
    with pytest.raises(Refused, match="there is no blob"):
        async with here.exchange(["0" * 64]):
            pass


def test_checkpoints_that_nobody_came_back_for_go(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
    long_ago = new.stat().st_mtime - CHECKPOINT_KEPT_S - 10
    os.utime(old, (long_ago, long_ago))
    remove_old_checkpoints(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    remove_old_checkpoints(tmp_path / "missing")
