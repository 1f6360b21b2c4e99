"""200 MB of random bytes from a coordinator to a board: the agent's blob cache over gRPC with TLS, beside raw
TCP sockets with and without TLS, and HTTP without. All write to disk, hash with SHA-256 and end with the data
synced; the turns alternate. Ours hashes and writes in one thread while another receives."""

from __future__ import annotations

import hashlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import grpc

from edgemeter_agent.blob_cache import BlobCache
from edgemeter_agent.link.connection import CALLS_OPTIONS
from edgemeter_coordinator.authority import Authority
from edgemeter_coordinator.sdk import settings, upload
from edgemeter_coordinator.sdk.channel import open_channel
from edgemeter_protos.frames import BlobsClient
from edgemeter_protos.v1 import blobs_pb2
from tests.benchmarks import transfer_peers
from tests.benchmarks.figures import Figure, median_ratio
from tests.desk import Desk

SIZE_BYTES = 200_000_000
TURNS = 7
PLAIN, TLS = "raw socket", "raw socket, TLS"


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        source = desk.folder / "source" / "blob"
        source.parent.mkdir()
        source.write_bytes(os.urandom(SIZE_BYTES))
        try:
            desk.serve()
            return _measure(desk, source, hashlib.sha256(source.read_bytes()).hexdigest())
        finally:
            desk.finish()


def _measure(desk: Desk, source: Path, digest: str) -> list[Figure]:
    target, scratch = desk.folder / "received", desk.folder / "scratch"
    scratch.mkdir()
    configuration = desk.folder / "config" / "edgemeter" / "config.toml"
    found = settings.resolve(environ={"EDGEMETER_CONFIG": str(configuration)})
    with open_channel(found) as channel:
        upload.upload(source, channel=channel, address=found.address)
    # As a board's channel, but with a user's token: a board may read only what a job of its own needs.
    credentials = grpc.composite_channel_credentials(
        grpc.ssl_channel_credentials(found.ca_pem.encode()), grpc.access_token_call_credentials(found.token)
    )
    with grpc.secure_channel(found.address, credentials, options=CALLS_OPTIONS) as channel:
        client = BlobsClient(channel)

        def ours() -> str:
            cache = BlobCache(Path(tempfile.mkdtemp(dir=desk.folder)))
            path = cache.fetch(
                digest,
                lambda offset: client.fetch(blobs_pb2.FetchRequest(digest=digest, offset_bytes=offset)),
                received=lambda _: None,
            )
            path.unlink()
            return digest

        with (
            transfer_peers.raw_socket(source, target) as raw,
            transfer_peers.raw_socket(source, target, _certificate(desk)) as raw_tls,
            transfer_peers.http(source, target, scratch) as (http_name, http),
        ):
            times: dict[str, list[float]] = {"ours": [], PLAIN: [], TLS: [], http_name: []}
            pulls = {"ours": ours, PLAIN: raw, TLS: raw_tls, http_name: http}
            for turn in range(TURNS + 1):
                for name in sorted(pulls, reverse=bool(turn % 2)):
                    seconds = _timed(pulls[name], digest)
                    # The first turn warms caches and connections.
                    if turn:
                        times[name].append(seconds)
    return [_figure(times, PLAIN, 0.8), _figure(times, TLS, 0.8), _figure(times, http_name, 1.2)]


def _certificate(desk: Desk) -> Path:
    """A server's key and certificate in one file, as the coordinator's are."""
    identity = Authority.open(desk.folder / "peer").server_identity()
    path = desk.folder / "peer.pem"
    path.write_bytes(identity.key_pem + identity.chain_pem)
    return path


def _timed(pull: Callable[[], str], digest: str) -> float:
    begin = time.perf_counter()
    received = pull()
    seconds = time.perf_counter() - begin
    if received != digest:
        raise RuntimeError("other bytes arrived than were sent")
    return seconds


def _figure(times: dict[str, list[float]], peer: str, at_least: float) -> Figure:
    # Throughput, so that more is better and the ratio reads as the targets do.
    ours, theirs = ([SIZE_BYTES / 1e6 / s for s in times[name]] for name in ("ours", peer))
    ratio = median_ratio(ours, theirs)
    return Figure(
        what="push of 200 MB",
        unit="MB/s",
        ours=statistics.median(ours),
        peer_name=peer,
        peer=statistics.median(theirs),
        ratio=ratio,
        target=f">= {at_least}",
        met=ratio >= at_least,
        note="pairs: " + ", ".join(f"{a:.0f}/{b:.0f}" for a, b in zip(ours, theirs, strict=True)) + " MB/s.",
    )
