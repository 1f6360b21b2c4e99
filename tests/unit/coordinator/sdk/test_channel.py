from __future__ import annotations

from typing import Any

import grpc
import pytest

from edgemeter_coordinator.sdk.channel import is_transient, translate
from edgemeter_coordinator.sdk.errors import Refused, Unreachable
from edgemeter_protos import refusals
from edgemeter_protos.v1 import refusal_pb2


class FailedCall(grpc.RpcError):
    def __init__(
        self, code: grpc.StatusCode, details: str = "", refusal: refusal_pb2.Refusal | None = None
    ) -> None:
        self._code, self._details, self._refusal = code, details, refusal

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return self._details

    def trailing_metadata(self) -> Any:
        return refusals.pack(self._refusal) if self._refusal else ()


NO_DEVICE = refusal_pb2.Refusal(
    reason=refusal_pb2.REFUSAL_REASON_NO_DEVICE_MATCHES, message="no device has rack=z; there is rack=a"
)


def test_a_refusal_keeps_its_words_and_its_reason() -> None:
    error = translate(FailedCall(grpc.StatusCode.FAILED_PRECONDITION, refusal=NO_DEVICE), "lab:1")
    assert isinstance(error, Refused)
    assert error.reason == "NO_DEVICE_MATCHES"
    assert str(error) == "no device has rack=z; there is rack=a"


def test_a_bad_token_names_the_coordinator_that_does_not_know_it() -> None:
    refusal = refusal_pb2.Refusal(reason=refusal_pb2.REFUSAL_REASON_UNAUTHENTICATED, message="unknown token")
    error = translate(FailedCall(grpc.StatusCode.UNAUTHENTICATED, refusal=refusal), "lab:1")
    assert "lab:1" in str(error)
    assert "unknown token" in str(error)


@pytest.mark.parametrize(
    ("details", "says"),
    [
        ("connection refused", "edgemeter serve"),
        ("Ssl handshake failed: CERTIFICATE_VERIFY_FAILED", "fingerprint"),
        ("Ssl handshake failed: WRONG_VERSION_NUMBER", "TLS"),
    ],
)
def test_unreachable_says_the_address_and_what_to_do(details: str, says: str) -> None:
    error = translate(FailedCall(grpc.StatusCode.UNAVAILABLE, details), "lab:1")
    assert isinstance(error, Unreachable)
    assert error.address == "lab:1"
    assert "lab:1" in str(error)
    assert says in str(error)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_every_failure_is_one_line(code: grpc.StatusCode) -> None:
    message = str(translate(FailedCall(code, "details"), "lab:1"))
    assert "lab:1" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("failed", "transient"),
    [
        (FailedCall(grpc.StatusCode.UNAVAILABLE), True),
        # What a server that stops tells the calls in flight.
        (FailedCall(grpc.StatusCode.CANCELLED), True),
        (FailedCall(grpc.StatusCode.INTERNAL), False),
        (FailedCall(grpc.StatusCode.NOT_FOUND), False),
        # It answered: asking again changes nothing.
        (FailedCall(grpc.StatusCode.UNAVAILABLE, refusal=NO_DEVICE), False),
    ],
)
def test_what_may_be_asked_again(failed: FailedCall, transient: bool) -> None:
    assert is_transient(failed) is transient
