"""Brings a blob from the coordinator into a file, checked by its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import grpc

from edgemeter_coordinator.sdk import atomic_file
from edgemeter_coordinator.sdk.channel import translate
from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_protos.frames import BlobsClient, Chunk
from edgemeter_protos.v1 import blobs_pb2


def download(digest: str, to: Path, *, channel: grpc.Channel, address: str) -> None:
    """Writes a blob to a file, whole or not at all.

    Raises EdgemeterError where it can't be written or something else arrived, Refused, and Unreachable.
    """
    atomic_file.write_chunks(to, _checked(digest, channel, address))


def _checked(digest: str, channel: grpc.Channel, address: str) -> Iterator[Chunk]:
    arrived = hashlib.sha256()
    try:
        for chunk in BlobsClient(channel).fetch(blobs_pb2.FetchRequest(digest=digest)):
            arrived.update(chunk)
            yield chunk
    except grpc.RpcError as error:
        raise translate(error, address) from error
    if arrived.hexdigest() != digest:
        raise EdgemeterError(f"blob {digest[:12]} arrived damaged: try again")
