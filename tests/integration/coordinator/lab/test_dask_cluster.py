"""Conversions on a Dask cluster of other processes, whose blobs come and go over the network."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import grpc
import grpc.aio
import psutil
import pytest
import pytest_asyncio
from distributed.security import Security

from edgemeter_converters import identity
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.remote_exchange import RemoteExchange
from edgemeter_coordinator.conversion.cluster import WorkerDiedError
from edgemeter_coordinator.conversion.existing_cluster import ExistingCluster, NoClusterError, Scheduler
from edgemeter_coordinator.conversion.workbench import RemoteExchanges
from edgemeter_coordinator.service.listening import ServeError
from edgemeter_protos import refusals
from edgemeter_protos.v1 import blobs_pb2_grpc, lab_pb2, lab_pb2_grpc, refusal_pb2
from tests.desk import free_port
from tests.integration.coordinator.lab.laboratory import Laboratory, put

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.needs_tensorflow]

DEATHS = 1


def started(*arguments: str, log: Path, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments],
            env=environment,
            cwd=log.parent,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a scheduler with one worker, as an operator would start them."""
    folder = tmp_path_factory.mktemp("dask")
    address = f"tcp://127.0.0.1:{free_port()}"
    environment = {
        **os.environ,
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(DEATHS),
        "TMPDIR": str(folder),
    }
    port = address.rpartition(":")[2]
    processes = [
        started(
            *("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard", "--no-show"),
            log=folder / "scheduler.log",
            environment=environment,
        ),
        started(
            *("worker", address, "--nthreads", "2", "--no-dashboard", "--local-directory", str(folder)),
            log=folder / "worker.log",
            environment=environment,
        ),
    ]
    try:
        yield address
    finally:
        for process in reversed(processes):
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def laboratory(
    tmp_path_factory: pytest.TempPathFactory, material: Path, scheduler: str
) -> AsyncIterator[Laboratory]:
    laboratory = await Laboratory(
        tmp_path_factory.mktemp("coordinator"), dask=Scheduler(address=scheduler)
    ).start()
    try:
        await laboratory.add_model(material / "stripes.keras")
        await laboratory.add_dataset(material / "stripes.npz")
        await laboratory.join(name="pi-a", labels={})
        yield laboratory
    finally:
        await laboratory.stop()


def exchange_of(laboratory: Laboratory) -> RemoteExchange:
    exchanges = laboratory.coordinator.conversion._bench._exchanges
    assert isinstance(exchanges, RemoteExchanges)
    return RemoteExchange(
        address=f"127.0.0.1:{laboratory.coordinator.port}",
        ca_certificate=exchanges.ca_pem,
        token=exchanges.grant.token,
    )


def our_children() -> set[int]:
    return {process.pid for process in psutil.Process().children(recursive=True)}


async def test_a_study_is_converted_there(laboratory: Laboratory) -> None:
    children = our_children()
    study = await laboratory.create("float32", "prune(0.5,epochs=60)", "prune(0.5,epochs=60)+int8")
    phases: set[str] = set()
    async for response in laboratory.lab.WatchStudy(lab_pb2.WatchStudyRequest(study=study.id)):
        phases |= {variant.phase.partition(",")[0] for variant in response.study.variants}
        if response.study.state != lab_pb2.STUDY_STATE_CONVERTING:
            break
    assert response.study.state == lab_pb2.STUDY_STATE_MEASURING
    assert "fine-tuning" in phases
    assert our_children() == children, "the coordinator started workers of its own"
    float32, pruned, quantized = (variant.manifest for variant in response.study.variants)
    # Every file is a whole blob here.
    blobs = laboratory.state_dir / "blobs"
    for manifest in (float32, pruned, quantized):
        for digest in filter(
            None, (manifest.artifact_digest, manifest.compressed_digest, manifest.golden.digest)
        ):
            content = (blobs / digest[:2] / digest).read_bytes()
            assert hashlib.sha256(content).hexdigest() == digest
    assert pruned.compressed_digest
    assert float32.quality.samples == 200
    assert quantized.size_bytes < float32.size_bytes
    # Trained once, for both that begin with it.
    assert [stage.step for stage in pruned.stages] == ["prune(0.5,epochs=60)"]
    assert laboratory.coordinator.conversion.counts.run == 1
    assert [each.stages[0].reused for each in (pruned, quantized)].count(True) == 1


async def test_tools_are_those_of_its_workers(laboratory: Laboratory) -> None:
    versions = await laboratory.coordinator.conversion.installed_versions()
    assert versions["edgemeter-converters"] == identity.installed_versions()["edgemeter-converters"]
    assert versions["tensorflow-cpu"]


async def test_a_worker_that_dies_is_replaced_and_its_task_given_up_in_the_end(scheduler: str) -> None:
    cluster = ExistingCluster(Scheduler(address=scheduler))
    try:
        with pytest.raises(WorkerDiedError, match=f"the Dask cluster at {scheduler} died each time"):
            await cluster.run(os._exit, 9)
        assert await cluster.run(sum, [1, 2]) == 3
    finally:
        await cluster.close()


async def test_a_worker_reads_only_what_its_requests_name(laboratory: Laboratory, tmp_path: Path) -> None:
    digest = await put(laboratory.blobs, b"not for workers")
    exchange = exchange_of(laboratory)
    with pytest.raises(ConversionError, match="belongs to no conversion that is under way"):
        await asyncio.to_thread(exchange.get, digest)
    exchanges = laboratory.coordinator.conversion._bench._exchanges
    async with exchanges.opened([digest]):
        fetched = await asyncio.to_thread(exchange.get, digest)
        assert fetched.read_bytes() == b"not for workers"
    made = tmp_path / "made"
    made.write_bytes(b"made by a worker")
    given = await asyncio.to_thread(exchange.give, made)
    assert given.digest == hashlib.sha256(b"made by a worker").hexdigest()
    assert not made.exists()


async def test_the_workers_token_is_good_for_blobs_alone(laboratory: Laboratory) -> None:
    token = exchange_of(laboratory).token
    channel = laboratory._channel(laboratory.coordinator.port, bearer=token)
    for call in (
        lab_pb2_grpc.LabStub(channel).ListModels(lab_pb2.ListModelsRequest()),
        lab_pb2_grpc.LabStub(channel).CreateUserToken(lab_pb2.CreateUserTokenRequest(user="worker")),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        refusal = refusals.unpack(caught.value)
        assert refusal is not None
        assert refusal.reason == refusal_pb2.REFUSAL_REASON_UNAUTHENTICATED
    assert blobs_pb2_grpc.BlobsStub(channel) is not None
    assert token not in (laboratory.state_dir / "edgemeter.db").read_bytes().decode(errors="replace")


async def test_what_arrives_damaged_is_not_used(
    laboratory: Laboratory, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = await put(laboratory.blobs, b"to be damaged")
    path = laboratory.state_dir / "blobs" / digest[:2] / digest
    exchanges = laboratory.coordinator.conversion._bench._exchanges
    async with exchanges.opened([digest]):
        blobs = laboratory.coordinator.conversion._bench._blobs
        # Of the same state for the store, which hashed it when it was put.
        monkeypatch.setattr("edgemeter_coordinator.blobs._file_state", lambda _path: blobs._verified[digest])
        path.write_bytes(b"to be DAMAGED")
        with pytest.raises(ConversionError, match="has the digest"):
            await asyncio.to_thread(exchange_of(laboratory).get, digest)


async def test_a_coordinator_that_can_not_be_reached_is_named(laboratory: Laboratory) -> None:
    import edgemeter_converters.remote_exchange as module

    nowhere = replace(exchange_of(laboratory), address=f"127.0.0.1:{free_port()}")
    patience = module._PATIENCE_S
    module._PATIENCE_S = 0.5
    try:
        with pytest.raises(ConversionError, match="can't reach the coordinator at"):
            await asyncio.to_thread(nowhere.get, "0" * 64)
    finally:
        module._PATIENCE_S = patience


async def test_a_cancelled_task_is_taken_back_and_no_process_is_killed(scheduler: str) -> None:
    cluster = ExistingCluster(Scheduler(address=scheduler))
    try:
        pid = await cluster.run(os.getpid)
        napping = asyncio.create_task(cluster.run(time.sleep, 3.0))
        await asyncio.sleep(1.0)
        napping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await napping
        assert psutil.pid_exists(pid)
        assert await cluster.run(os.getpid) == pid
    finally:
        await cluster.close()
    assert psutil.pid_exists(pid)


async def test_a_scheduler_that_comes_back_is_found_again(tmp_path: Path) -> None:
    port = free_port()
    arguments = ("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard", "--no-show")
    log = tmp_path / "scheduler.log"
    first = started(*arguments, log=log, environment=dict(os.environ))
    cluster = ExistingCluster(Scheduler(address=f"tcp://127.0.0.1:{port}"))
    try:
        await cluster.connect()
        waiting = asyncio.create_task(cluster.run(os.getpid))
        await asyncio.sleep(0.5)
        first.kill()
        with pytest.raises(WorkerDiedError, match="restarted or cut off: try again"):
            await waiting
        first.wait(20)
        second = started(*arguments, log=log, environment=dict(os.environ))
        try:
            await cluster.connect()
            assert cluster.started
        finally:
            await cluster.close()
            second.terminate()
            second.wait(20)
    finally:
        first.kill()
        await cluster.close()


async def test_a_cluster_with_certificates(tmp_path: Path) -> None:
    proof = Security.temporary()
    files = {
        name: tmp_path / f"{name}.pem" for name in ("tls_ca_file", "tls_scheduler_cert", "tls_scheduler_key")
    }
    for name, path in files.items():
        path.write_text(getattr(proof, name))
    ca, certificate, key = files.values()
    port = free_port()
    process = started(
        *("scheduler", "--protocol", "tls", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"),
        *("--no-show", "--tls-ca-file", str(ca), "--tls-cert", str(certificate), "--tls-key", str(key)),
        log=tmp_path / "scheduler.log",
        environment=dict(os.environ),
    )
    address = f"tls://127.0.0.1:{port}"
    cluster = ExistingCluster(
        Scheduler(address=address, ca_file=ca, certificate_file=certificate, key_file=key)
    )
    try:
        await cluster.connect()
        assert cluster.started
        with pytest.raises(NoClusterError, match="--dask-ca"):
            await ExistingCluster(Scheduler(address=address)).connect()
    finally:
        await cluster.close()
        process.terminate()
        process.wait(20)


async def test_no_scheduler_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgemeter_coordinator.conversion.existing_cluster.CONNECT_S", 1.0)
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(ServeError, match="no Dask scheduler answers at") as caught:
        await Laboratory(tmp_path, dask=Scheduler(address=address)).start()
    assert "\n" not in str(caught.value)
