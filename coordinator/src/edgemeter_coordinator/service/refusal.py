"""How a refusal travels: a gRPC status that any client understands, and its typed reason beside it."""

from __future__ import annotations

from typing import Any, Never

import grpc
import grpc.aio

from edgemeter_coordinator.refusal import Refused
from edgemeter_protos import refusals
from edgemeter_protos.v1 import refusal_pb2

_STATUS = {
    refusal_pb2.REFUSAL_REASON_BAD_REQUEST: grpc.StatusCode.INVALID_ARGUMENT,
    refusal_pb2.REFUSAL_REASON_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    refusal_pb2.REFUSAL_REASON_ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    refusal_pb2.REFUSAL_REASON_NOT_ALLOWED: grpc.StatusCode.PERMISSION_DENIED,
    refusal_pb2.REFUSAL_REASON_UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    refusal_pb2.REFUSAL_REASON_TOKEN_UNKNOWN: grpc.StatusCode.UNAUTHENTICATED,
    refusal_pb2.REFUSAL_REASON_TOKEN_EXPIRED: grpc.StatusCode.UNAUTHENTICATED,
    refusal_pb2.REFUSAL_REASON_TOKEN_USED: grpc.StatusCode.UNAUTHENTICATED,
    refusal_pb2.REFUSAL_REASON_DEVICE_UNKNOWN: grpc.StatusCode.UNAUTHENTICATED,
    refusal_pb2.REFUSAL_REASON_BLOB_MISSING: grpc.StatusCode.NOT_FOUND,
    refusal_pb2.REFUSAL_REASON_BLOB_DAMAGED: grpc.StatusCode.DATA_LOSS,
    refusal_pb2.REFUSAL_REASON_DISK_FULL: grpc.StatusCode.RESOURCE_EXHAUSTED,
    refusal_pb2.REFUSAL_REASON_TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    refusal_pb2.REFUSAL_REASON_UNKNOWN_RECIPE: grpc.StatusCode.INVALID_ARGUMENT,
    refusal_pb2.REFUSAL_REASON_NOT_A_MODEL: grpc.StatusCode.INVALID_ARGUMENT,
    refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL: grpc.StatusCode.INVALID_ARGUMENT,
    refusal_pb2.REFUSAL_REASON_NOT_A_DATASET: grpc.StatusCode.INVALID_ARGUMENT,
    refusal_pb2.REFUSAL_REASON_SHAPE_MISMATCH: grpc.StatusCode.INVALID_ARGUMENT,
}


def status_of(reason: refusal_pb2.RefusalReason.ValueType) -> grpc.StatusCode:
    """The status for clients that know no reasons; FAILED_PRECONDITION where none fits better."""
    return _STATUS.get(reason, grpc.StatusCode.FAILED_PRECONDITION)


async def abort(context: grpc.aio.ServicerContext[Any, Any], refused: Refused) -> Never:
    """Ends the call with the refusal."""
    refusal = refusal_pb2.Refusal(reason=refused.reason, message=refused.message)
    await context.abort(status_of(refused.reason), refused.message, refusals.pack(refusal))
