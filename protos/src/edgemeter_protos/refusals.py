"""Typed refusals in the trailing metadata of a failed call."""

from __future__ import annotations

import grpc

from edgemeter_protos.v1 import refusal_pb2

METADATA_KEY = "edgemeter-refusal-bin"


def pack(refusal: refusal_pb2.Refusal) -> tuple[tuple[str, bytes], ...]:
    """Trailing metadata that carries `refusal`."""
    return ((METADATA_KEY, refusal.SerializeToString()),)


def unpack(error: grpc.RpcError) -> refusal_pb2.Refusal | None:
    """The refusal that `error` carries; None where the call failed for another reason."""
    trailing = getattr(error, "trailing_metadata", lambda: None)() or ()
    for key, value in trailing:
        if key == METADATA_KEY:
            return refusal_pb2.Refusal.FromString(value)
    return None
