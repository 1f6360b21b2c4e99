"""Comes to believe a coordinator: its CA, fetched unverified and held against a pinned fingerprint."""

from __future__ import annotations

import hashlib
import re
import socket
import ssl

import grpc

from edgemeter_coordinator.sdk.channel import translate
from edgemeter_coordinator.sdk.errors import NotConfigured, Unreachable
from edgemeter_coordinator.sdk.settings import join_address, parse_address
from edgemeter_protos import COORDINATOR_TLS_NAME
from edgemeter_protos.v1 import enrolment_pb2, enrolment_pb2_grpc

_TIMEOUT_S = 10.0
_FINGERPRINT = re.compile(r"(?:sha256:)?((?:[0-9a-f]{2}:?){31}[0-9a-f]{2})")


def normal_fingerprint(text: str) -> str:
    """ "sha256:" and 64 lower-case hexadecimal digits; colons between bytes are taken too.

    Raises NotConfigured.
    """
    match = _FINGERPRINT.fullmatch(text.strip().lower())
    if match is None:
        raise NotConfigured(f"'{text}' is no fingerprint: it reads sha256: and 64 hexadecimal digits")
    return "sha256:" + match[1].replace(":", "")


def fingerprint(ca_pem: str) -> str:
    """The SHA-256 of a certificate's DER form. Raises NotConfigured for what is no PEM certificate."""
    try:
        return "sha256:" + hashlib.sha256(ssl.PEM_cert_to_DER_cert(ca_pem.strip())).hexdigest()
    except ValueError as error:
        raise NotConfigured("this is no certificate in PEM form") from error


def _presented_certificate(host: str, port: int) -> str:
    """The certificate that a server presents, believed by nobody yet."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    address = join_address(host, port)
    try:
        with (
            socket.create_connection((host, port), timeout=_TIMEOUT_S) as connection,
            context.wrap_socket(connection, server_hostname=COORDINATOR_TLS_NAME) as secured,
        ):
            der = secured.getpeercert(binary_form=True)
    except ssl.SSLError as error:
        raise Unreachable(
            f"{address} answers, but does not speak TLS: is it a coordinator?", address=address
        ) from error
    except OSError as error:
        raise Unreachable(
            f"no coordinator answers at {address} ({error.strerror or error}):"
            " is `edgemeter serve` running there, and may this machine reach it?",
            address=address,
        ) from error
    if der is None:
        raise Unreachable(f"{address} answers, but shows no certificate", address=address)
    return ssl.DER_cert_to_PEM_cert(der)


def fetch_ca(address: str, expected_fingerprint: str) -> str:
    """The PEM text of the CA of the coordinator at `address`, whose fingerprint is the expected one.

    The connection that it comes over proves nothing; the fingerprint does. Raises Unreachable, and
    NotConfigured where the fingerprint is another one.
    """
    wanted = normal_fingerprint(expected_fingerprint)
    host, port = parse_address(address)
    address = join_address(host, port)
    # gRPC accepts a server's own certificate as its root, and offers no unverified connection.
    transport = grpc.ssl_channel_credentials(_presented_certificate(host, port).encode())
    options = [("grpc.ssl_target_name_override", COORDINATOR_TLS_NAME), ("grpc.enable_http_proxy", 0)]
    with grpc.secure_channel(address, transport, options=options) as channel:
        stub = enrolment_pb2_grpc.EnrolmentStub(channel)
        try:
            ca_pem = stub.GetAuthority(enrolment_pb2.GetAuthorityRequest(), timeout=_TIMEOUT_S).ca_pem
        except grpc.RpcError as error:
            raise translate(error, address) from error
    found = fingerprint(ca_pem)
    if found != wanted:
        raise NotConfigured(
            f"the CA at {address} has another fingerprint: {found}, not {wanted}. If you did not mistype it,"
            " this is not the coordinator that you were told of; nothing was saved"
        )
    return ca_pem
