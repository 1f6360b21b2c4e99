"""The connection to a coordinator, and what its failures mean to a user."""

from __future__ import annotations

import ssl

import grpc

from edgemeter_coordinator.sdk.errors import EdgemeterError, NotConfigured, Refused, Unreachable
from edgemeter_coordinator.sdk.settings import Settings
from edgemeter_protos import COORDINATOR_TLS_NAME, refusals
from edgemeter_protos.v1 import refusal_pb2

_OPTIONS: list[tuple[str, str | int]] = [
    ("grpc.ssl_target_name_override", COORDINATOR_TLS_NAME),
    # A coordinator that restarts is found again within a second or two, not within gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # What a coordinator sends at most: a list of many studies, with their manifests.
    ("grpc.max_receive_message_length", 64 * 2**20),
    # Users' proxies are for the web; a lab's coordinator is dialled directly, as boards do.
    ("grpc.enable_http_proxy", 0),
]


def open_channel(settings: Settings) -> grpc.Channel:
    """A channel that believes only the pinned CA and sends the token with every call. Dials lazily."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=settings.ca_pem)
    except (ssl.SSLError, ValueError) as error:
        # gRPC would only say so in its own log, and that nobody answers.
        raise NotConfigured(
            f"the CA's certificate that is pinned for {settings.address} can't be read: is the file whole?"
        ) from error
    transport = grpc.ssl_channel_credentials(root_certificates=settings.ca_pem.encode())
    bearer = grpc.access_token_call_credentials(settings.token)
    return grpc.secure_channel(
        settings.address, grpc.composite_channel_credentials(transport, bearer), options=_OPTIONS
    )


def is_transient(error: grpc.RpcError) -> bool:
    """True where the coordinator may answer if asked again: it is restarting, or the network was cut."""
    return refusals.unpack(error) is None and error.code() in (
        grpc.StatusCode.UNAVAILABLE,
        # What calls in flight get from a server that was stopped under them.
        grpc.StatusCode.CANCELLED,
    )


def translate(error: grpc.RpcError, address: str) -> EdgemeterError:
    """The error that the user reads for a failed call to `address`."""
    refusal = refusals.unpack(error)
    if refusal is not None:
        name = refusal_pb2.RefusalReason.Name(refusal.reason).removeprefix("REFUSAL_REASON_")
        message = refusal.message
        if refusal.reason == refusal_pb2.REFUSAL_REASON_UNAUTHENTICATED:
            message = f"{message} (coordinator {address})"
        return Refused(message, reason=name)
    code, details = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        # BoringSSL's words, as gRPC passes them on.
        if "CERTIFICATE_VERIFY_FAILED" in details:
            return Unreachable(
                f"{address} answers, but its certificate is not signed by the CA that is pinned here:"
                " run `edgemeter login` again with the coordinator's present fingerprint",
                address=address,
            )
        if "WRONG_VERSION_NUMBER" in details:
            return Unreachable(
                f"{address} answers, but does not speak TLS: is it a coordinator?", address=address
            )
        return Unreachable(
            f"no coordinator answers at {address}: is `edgemeter serve` running there,"
            " and may this machine reach it?",
            address=address,
        )
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return Refused(
            f"the coordinator at {address} does not know this call: it is of another version, or this is its"
            " port for boards",
            reason=code.name,
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Unreachable(f"the coordinator at {address} did not answer in time", address=address)
    return Refused(f"the coordinator at {address} failed: {code.name.lower()}: {details}", reason=code.name)
