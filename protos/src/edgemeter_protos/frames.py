"""Frames a blob's chunks by hand, as the bytes that protobuf would write.

Serializing a 256 KiB `bytes` field through protobuf costs two copies on either side; this costs one
to send and none to receive. A peer that uses the generated messages notices nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Protocol, cast

import grpc
import grpc.aio

from edgemeter_protos.v1 import blobs_pb2

CHUNK_BYTES = 256 * 1024
"""Larger chunks make other calls on the connection wait: 4 MiB costs them 60 ms at the 99th percentile."""

Chunk = bytes | bytearray | memoryview
SERVICE = "edgemeter.v1.Blobs"

# Wire type 2 (length-delimited) of field 1 and of field 2.
_FETCH_DATA_TAG = 0x0A
_PUT_DATA_TAG = 0x12


def _frame(tag: int, data: Chunk) -> bytes:
    head = bytearray((tag,))
    length = len(data)
    while length > 0x7F:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return b"".join((head, data))


def _unframe(tag: int, message: bytes) -> memoryview | None:
    """The field's bytes, or None where `message` is anything but that one field."""
    if not message or message[0] != tag:
        return None
    length = shift = 0
    for position in range(1, min(len(message), 6)):
        byte = message[position]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            start = position + 1
            return memoryview(message)[start:] if start + length == len(message) else None
    return None


def encode_fetch(data: Chunk) -> bytes:
    """FetchResponse{data} on the wire."""
    return _frame(_FETCH_DATA_TAG, data)


def decode_fetch(message: bytes) -> Chunk:
    """The data of a serialized FetchResponse. Raises google.protobuf.message.DecodeError."""
    data = _unframe(_FETCH_DATA_TAG, message)
    return blobs_pb2.FetchResponse.FromString(message).data if data is None else data


PutPart = blobs_pb2.PutHeader | bytes | bytearray | memoryview


def encode_put(part: PutPart) -> bytes:
    """PutRequest{header} or PutRequest{data} on the wire."""
    if isinstance(part, blobs_pb2.PutHeader):
        return blobs_pb2.PutRequest(header=part).SerializeToString()
    return _frame(_PUT_DATA_TAG, part)


def decode_put(message: bytes) -> PutPart:
    """The header or the data of a serialized PutRequest. Raises DecodeError."""
    data = _unframe(_PUT_DATA_TAG, message)
    if data is not None:
        return data
    request = blobs_pb2.PutRequest.FromString(message)
    return request.header if request.HasField("header") else request.data


class BlobsHandler(Protocol):
    """What a server of Blobs does; chunks are plain bytes, never messages."""

    async def stat(
        self, request: blobs_pb2.StatRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> blobs_pb2.StatResponse: ...

    def fetch(
        self, request: blobs_pb2.FetchRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Chunk]: ...

    async def put(
        self, parts: AsyncIterator[PutPart], context: grpc.aio.ServicerContext[Any, Any]
    ) -> blobs_pb2.PutResponse: ...


def add_blobs_to_server(handler: BlobsHandler, server: grpc.aio.Server) -> None:
    """Registers `handler` for the service Blobs."""
    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Stat": grpc.unary_unary_rpc_method_handler(
            cast("Any", handler.stat),
            request_deserializer=blobs_pb2.StatRequest.FromString,
            response_serializer=blobs_pb2.StatResponse.SerializeToString,
        ),
        "Fetch": grpc.unary_stream_rpc_method_handler(
            cast("Any", handler.fetch),
            request_deserializer=blobs_pb2.FetchRequest.FromString,
            response_serializer=encode_fetch,
        ),
        "Put": grpc.stream_unary_rpc_method_handler(
            cast("Any", handler.put),
            request_deserializer=decode_put,
            response_serializer=blobs_pb2.PutResponse.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))


class BlobsClient:
    """Calls Blobs over a synchronous channel; chunks are plain bytes, never messages."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.stat: Callable[..., blobs_pb2.StatResponse] = channel.unary_unary(
            f"/{SERVICE}/Stat",
            request_serializer=blobs_pb2.StatRequest.SerializeToString,
            response_deserializer=blobs_pb2.StatResponse.FromString,
        )
        self.fetch: Callable[..., Iterator[Chunk]] = channel.unary_stream(
            f"/{SERVICE}/Fetch",
            request_serializer=blobs_pb2.FetchRequest.SerializeToString,
            response_deserializer=decode_fetch,
        )
        self.put: Callable[..., blobs_pb2.PutResponse] = channel.stream_unary(
            f"/{SERVICE}/Put",
            request_serializer=encode_put,
            response_deserializer=blobs_pb2.PutResponse.FromString,
        )
