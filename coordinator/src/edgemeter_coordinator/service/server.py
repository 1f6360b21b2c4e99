"""The coordinator's process: opens its state, listens on two ports, and closes everything again.

Users and joining boards come to one port (TLS, tokens), joined boards to the other (TLS with certificates
on both sides).
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from collections.abc import Iterable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import grpc.aio
from sqlalchemy import Connection
from sqlalchemy.exc import DatabaseError

from edgemeter_coordinator.authority import Authority
from edgemeter_coordinator.blobs import DEFAULT_MAX_BLOB_BYTES, BlobStore
from edgemeter_coordinator.conversion.capacity import capacity
from edgemeter_coordinator.conversion.engine import ConversionEngine
from edgemeter_coordinator.conversion.existing_cluster import ExistingCluster, NoClusterError, Scheduler
from edgemeter_coordinator.conversion.inspection import Inspection
from edgemeter_coordinator.conversion.local_workers import LocalWorkers
from edgemeter_coordinator.conversion.workbench import (
    RemoteExchanges,
    SharedExchanges,
    Workbench,
    remove_old_checkpoints,
)
from edgemeter_coordinator.conversion.worker_grant import WorkerGrant
from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_coordinator.service import machine, owner
from edgemeter_coordinator.service.access import FLEET_PORT, USERS_PORT, Guard, Identities
from edgemeter_coordinator.service.background import Background
from edgemeter_coordinator.service.blob_service import DEFAULT_MAX_BOARD_BLOB_BYTES, BlobService
from edgemeter_coordinator.service.catalogue import Catalogue
from edgemeter_coordinator.service.changes import Changes
from edgemeter_coordinator.service.enrolment import EnrolmentService
from edgemeter_coordinator.service.fleet import FleetOptions, FleetService
from edgemeter_coordinator.service.lab import LabService
from edgemeter_coordinator.service.listening import ServeError, bind, lock, unusable
from edgemeter_coordinator.service.scoring import Scorer
from edgemeter_coordinator.service.sessions import Sessions
from edgemeter_coordinator.service.sweeper import Sweeper
from edgemeter_coordinator.store import devices, jobs
from edgemeter_coordinator.store.database import Database, NewerSchema
from edgemeter_protos.frames import add_blobs_to_server
from edgemeter_protos.v1 import enrolment_pb2_grpc, fleet_pb2, fleet_pb2_grpc, lab_pb2_grpc

MAX_MESSAGE_BYTES = 4 * 2**20
STOP_GRACE_S = 2.0

_CHANNEL_OPTIONS = (
    ("grpc.so_reuseport", 0),  # else a port in use is shared instead of refused
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", 16 * MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
)


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    state_dir: Path
    host: str = "0.0.0.0"  # noqa: S104 - boards come from the network
    # 0 for any free one.
    port: int = 7443
    fleet_port: int = 7444
    # HOST or HOST:PORT that boards and users dial; None for this host's own name.
    advertise: str | None = None
    lease_ttl_s: float = 60
    heartbeat_interval_s: float = 10
    # Conversion processes; None for what the machine's memory and processors allow.
    workers: int | None = None
    # A Dask cluster that converts in the place of processes of our own.
    dask: Scheduler | None = None
    # Packages whose functions may make models and data.
    allow_code: tuple[str, ...] = ()
    max_blob_bytes: int = DEFAULT_MAX_BLOB_BYTES
    max_board_blob_bytes: int = DEFAULT_MAX_BOARD_BLOB_BYTES


class Coordinator:
    """A running coordinator; `start` makes one."""

    def __init__(
        self,
        *,
        port: int,
        fleet_port: int,
        authority: Authority,
        owner_token: str | None,
        servers: Iterable[grpc.aio.Server],
        resources: AsyncExitStack,
        conversion: ConversionEngine,
    ) -> None:
        self.port = port
        self.fleet_port = fleet_port
        self.ca_pem = authority.ca_pem
        self.ca_fingerprint = authority.fingerprint
        # Of whoever started it first; None where its file was taken away.
        self.owner_token = owner_token
        self.conversion = conversion
        self._servers = tuple(servers)
        self._resources = resources

    @classmethod
    async def start(cls, options: ServeOptions) -> Coordinator:
        """Opens the state directory, binds both ports and serves. Raises ServeError."""
        try:
            async with AsyncExitStack() as resources:
                coordinator = await _start(options, resources)
                coordinator._resources = resources.pop_all()
                return coordinator
        except (OSError, DatabaseError, EdgemeterError) as error:
            raise ServeError(unusable(options.state_dir, error)) from error

    async def stop(self) -> None:
        """Says goodbye to boards, lets running calls end for a moment, closes everything."""
        await self._resources.aclose()

    async def wait(self) -> None:
        """Returns when the coordinator has stopped."""
        await asyncio.gather(*(server.wait_for_termination() for server in self._servers))


async def _start(options: ServeOptions, resources: AsyncExitStack) -> Coordinator:
    """Opens things in the order in which they need each other; `resources` closes them in reverse."""
    resources.enter_context(lock(options.state_dir))
    database = Database.in_directory(options.state_dir)
    resources.callback(database.close)
    try:
        await asyncio.to_thread(database.migrate)
    except NewerSchema as error:
        raise ServeError(str(error)) from None
    try:
        authority = Authority.open(options.state_dir)
        identity = authority.server_identity()
    except ValueError as error:
        # A key or a certificate that can't be parsed.
        raise ServeError(unusable(options.state_dir, error)) from error
    blobs = BlobStore(options.state_dir / "blobs", max_blob_bytes=options.max_blob_bytes)
    blobs.clean()

    changes = Changes()
    sessions = Sessions(changes)
    background = Background()
    grant = WorkerGrant()
    identities = Identities(database, is_worker=grant.is_worker)
    users = grpc.aio.server(interceptors=[Guard(USERS_PORT, identities)], options=_CHANNEL_OPTIONS)
    fleet = grpc.aio.server(interceptors=[Guard(FLEET_PORT, identities)], options=_CHANNEL_OPTIONS)
    port = bind(users, options.host, options.port, identity, client_ca_pem=None)
    resources.push_async_callback(users.stop, None)
    fleet_port = bind(
        fleet, options.host, options.fleet_port, identity, client_ca_pem=authority.ca_pem.encode()
    )
    resources.push_async_callback(fleet.stop, None)

    lease_ttl_ms = round(options.lease_ttl_s * 1000)
    owner_token = await database.transact(_begin, lease_ttl_ms, options.state_dir)
    scorer = Scorer(database=database, blobs=blobs)
    resources.push_async_callback(background.drain, STOP_GRACE_S)
    bench = await _bench(options, blobs, grant, _address(options.advertise, port), authority.ca_pem)
    conversion = ConversionEngine(
        database=database,
        bench=bench,
        changes=changes,
        sessions=sessions,
        allow_code=options.allow_code,
    )
    resources.push_async_callback(conversion.stop)
    await conversion.start()
    background.spawn(scorer.resume(), "scoring of earlier results")
    if options.dask is None:
        # So that the first study need not wait for it.
        background.spawn(conversion.installed_versions(), "reading the tools' versions")

    blob_service = BlobService(
        database=database,
        blobs=blobs,
        max_board_blob_bytes=options.max_board_blob_bytes,
        worker_may_read=grant.may_read,
    )
    resources.callback(blob_service.close)
    add_blobs_to_server(blob_service, users)
    add_blobs_to_server(blob_service, fleet)
    enrolment_pb2_grpc.add_EnrolmentServicer_to_server(
        EnrolmentService(database=database, authority=authority, fleet_port=fleet_port), users
    )
    inspection = Inspection(bench=bench, allow_code=options.allow_code)
    lab = LabService(
        database=database,
        catalogue=Catalogue(database=database, blobs=blobs, inspection=inspection),
        conversion=conversion,
        scorer=scorer,
        sessions=sessions,
        changes=changes,
        authority=authority,
        address=_address(options.advertise, port),
    )
    lab_pb2_grpc.add_LabServicer_to_server(lab, users)
    fleet_service = FleetService(
        database=database,
        blobs=blobs,
        sessions=sessions,
        changes=changes,
        scorer=scorer,
        background=background,
        options=FleetOptions(
            lease_ttl_ms=lease_ttl_ms,
            heartbeat_interval_ms=round(options.heartbeat_interval_s * 1000),
            coordinator_version=version("edgemeter-coordinator"),
        ),
    )
    fleet_pb2_grpc.add_FleetServicer_to_server(fleet_service, fleet)

    await users.start()
    await fleet.start()
    sweeper = Sweeper(
        database=database,
        sessions=sessions,
        changes=changes,
        lease_ttl_s=options.lease_ttl_s,
        heartbeat_interval_s=options.heartbeat_interval_s,
    )
    sweeping = asyncio.create_task(sweeper.run(), name="sweeper")

    async def hang_up() -> None:
        sweeping.cancel()
        with suppress(asyncio.CancelledError):
            await sweeping
        sessions.close_all(fleet_pb2.GOODBYE_REASON_SHUTTING_DOWN, "the coordinator stops")
        await asyncio.gather(users.stop(STOP_GRACE_S), fleet.stop(STOP_GRACE_S))

    resources.push_async_callback(hang_up)
    return Coordinator(
        port=port,
        fleet_port=fleet_port,
        authority=authority,
        owner_token=owner_token,
        servers=(users, fleet),
        resources=resources,
        conversion=conversion,
    )


async def _bench(
    options: ServeOptions, blobs: BlobStore, grant: WorkerGrant, address: str, ca_pem: str
) -> Workbench:
    """Workers of our own, or an existing cluster's. Raises ServeError where that one can't be reached."""
    logs_dir = options.state_dir / "logs"
    if options.dask is not None:
        cluster = ExistingCluster(options.dask)
        try:
            await cluster.connect()
        except NoClusterError as error:
            raise ServeError(str(error)) from None
        remote = RemoteExchanges(blobs=blobs, grant=grant, address=address, ca_pem=ca_pem)
        return Workbench(cluster=cluster, exchanges=remote, blobs=blobs, logs_dir=logs_dir)
    scratch_dir, checkpoints_dir = options.state_dir / "scratch", options.state_dir / "checkpoints"
    await asyncio.to_thread(shutil.rmtree, scratch_dir, ignore_errors=True)
    scratch_dir.mkdir(parents=True)
    await asyncio.to_thread(remove_old_checkpoints, checkpoints_dir)
    return Workbench(
        cluster=LocalWorkers(
            capacity=capacity(
                cpu_count=machine.cpu_count(), memory_bytes=machine.memory_bytes(), workers=options.workers
            ),
            scratch_dir=scratch_dir / "workers",
        ),
        exchanges=SharedExchanges(blobs=blobs, scratch_dir=scratch_dir, checkpoints_dir=checkpoints_dir),
        blobs=blobs,
        logs_dir=logs_dir,
    )


def _begin(connection: Connection, lease_ttl_ms: int, state_dir: Path) -> str | None:
    """Brings what a stopped coordinator left up to date; the owner's token."""
    devices.end_all_sessions(connection)
    jobs.extend_leases(connection, lease_ttl_ms)
    return owner.token(connection, state_dir)


def _address(advertise: str | None, port: int) -> str:
    """HOST:PORT where boards dial, as far as this machine knows its own name."""
    host = advertise or socket.getfqdn()
    has_port = host.rpartition(":")[2].isdigit() and (host.count(":") == 1 or "]:" in host)
    return host if has_port else f"{host}:{port}"
