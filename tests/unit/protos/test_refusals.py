"""A refusal crosses a real call in its trailing metadata."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from edgemeter_protos import refusals
from edgemeter_protos.v1 import enrolment_pb2, enrolment_pb2_grpc, refusal_pb2


class Refusing(enrolment_pb2_grpc.EnrolmentServicer):
    def GetAuthority(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise RuntimeError("no refusal here")

    def Enrol(self, request: Any, context: Any) -> Any:  # noqa: N802
        refusal = refusal_pb2.Refusal(
            reason=refusal_pb2.REFUSAL_REASON_TOKEN_USED, message="the token was used: make another"
        )
        context.set_trailing_metadata(refusals.pack(refusal))
        context.abort(grpc.StatusCode.PERMISSION_DENIED, refusal.message)


def test_refusal_reaches_the_caller() -> None:
    server = grpc.server(ThreadPoolExecutor(1))
    enrolment_pb2_grpc.add_EnrolmentServicer_to_server(Refusing(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = enrolment_pb2_grpc.EnrolmentStub(channel)
            with pytest.raises(grpc.RpcError) as caught:
                stub.Enrol(enrolment_pb2.EnrolRequest())
            refusal = refusals.unpack(caught.value)
            assert refusal is not None
            assert refusal.reason == refusal_pb2.REFUSAL_REASON_TOKEN_USED
            with pytest.raises(grpc.RpcError) as other:
                stub.GetAuthority(enrolment_pb2.GetAuthorityRequest())
            assert refusals.unpack(other.value) is None
    finally:
        server.stop(0).wait()
