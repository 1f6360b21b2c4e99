"""Joins a coordinator: a token in, an identity out.

The coordinator's CA is pinned by its fingerprint before the token is sent, so that nobody in between
learns it. The first connection trusts whatever certificate it finds, and is only asked for the CA.
"""

from __future__ import annotations

import binascii
import hashlib
import re
import socket
import ssl
from dataclasses import dataclass

import grpc

from edgemeter_agent import signing_request
from edgemeter_agent.failure import AgentError, describe
from edgemeter_agent.identity import Identity, address
from edgemeter_protos import COORDINATOR_TLS_NAME
from edgemeter_protos.v1 import device_pb2, enrolment_pb2, enrolment_pb2_grpc

TIMEOUT_S = 15.0

_FINGERPRINT = re.compile(r"(?:sha256:)?([0-9a-f]{64})", re.IGNORECASE)
_ADDRESS = re.compile(r"(?:\[(?P<v6>[0-9a-fA-F:.%\w]+)\]|(?P<host>[^:\[\]/\s]+)):(?P<port>\d{1,5})")


@dataclass(frozen=True, kw_only=True)
class Pending:
    """The coordinator wants a person to approve this board first."""

    device_id: str


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of HOST:PORT or [IPV6]:PORT. Raises AgentError."""
    found = _ADDRESS.fullmatch(text.strip())
    if found is None or not 0 < int(found["port"]) < 65536:
        raise AgentError(f"{text!r} is no address: give HOST:PORT, as `edgemeter token new` prints it")
    return found["v6"] or found["host"], int(found["port"])


def parse_fingerprint(text: str) -> str:
    """The 64 lower-case digits of sha256:HEX, with or without colons. Raises AgentError."""
    prefix, _, digits = text.strip().rpartition("sha256:")
    found = _FINGERPRINT.fullmatch(prefix + digits.replace(":", ""))
    if found is None:
        raise AgentError(f"{text!r} is no fingerprint: give sha256: and 64 hexadecimal digits")
    return found[1].lower()


def fingerprint(certificate_pem: str) -> str:
    """SHA-256 of the certificate's DER, in hexadecimal. Raises AgentError where it is no certificate."""
    try:
        der = ssl.PEM_cert_to_DER_cert(certificate_pem.strip())
    except (ValueError, binascii.Error) as error:
        raise AgentError(f"the coordinator's CA is no certificate in PEM: {error}") from error
    return hashlib.sha256(der).hexdigest()


def join(
    *, host: str, port: int, token: str, ca_fingerprint: str, name: str, facts: device_pb2.DeviceFacts
) -> Identity | Pending:
    """Enrols this board. Raises AgentError, in one line, for whatever goes wrong."""
    where = address(host, port)
    ca_pem = pinned_authority(host, port, ca_fingerprint)
    request = signing_request.make()
    enrolment = enrolment_pb2.EnrolRequest(token=token, csr_pem=request.csr_pem, name=name, facts=facts)
    with _channel(where, ca_pem) as channel:
        try:
            response = enrolment_pb2_grpc.EnrolmentStub(channel).Enrol(enrolment, timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            raise AgentError(f"{where} did not let this board join: {describe(error)}") from error
    if response.HasField("pending"):
        return Pending(device_id=response.pending.device_id)
    enrolled = response.enrolled
    if not enrolled.certificate_chain_pem or not enrolled.fleet_port:
        raise AgentError(f"{where} answered without a certificate: is it an edgemeter coordinator?")
    return Identity(
        device_id=enrolled.device_id,
        name=enrolled.name,
        host=host,
        enrol_port=port,
        fleet_port=enrolled.fleet_port,
        key_pem=request.key_pem,
        certificate_chain_pem=enrolled.certificate_chain_pem,
        ca_pem=ca_pem,
    )


def pinned_authority(host: str, port: int, expected_fingerprint: str) -> str:
    """The coordinator's CA certificate (PEM), which has that fingerprint. Raises AgentError."""
    where = address(host, port)
    leaf_pem = _leaf_certificate(host, port)
    with _channel(where, leaf_pem) as channel:
        stub = enrolment_pb2_grpc.EnrolmentStub(channel)
        try:
            ca_pem = stub.GetAuthority(enrolment_pb2.GetAuthorityRequest(), timeout=TIMEOUT_S).ca_pem
        except grpc.RpcError as error:
            raise AgentError(f"{where} does not answer as a coordinator: {describe(error)}") from error
    found = fingerprint(ca_pem)
    if found != expected_fingerprint:
        raise AgentError(
            f"{where} has the CA sha256:{found}, not sha256:{expected_fingerprint}: "
            "wrong coordinator or wrong fingerprint; the token was not sent"
        )
    return ca_pem


def _leaf_certificate(host: str, port: int) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    try:
        with (
            socket.create_connection((host, port), timeout=TIMEOUT_S) as plain,
            context.wrap_socket(plain, server_hostname=COORDINATOR_TLS_NAME) as secure,
        ):
            der = secure.getpeercert(binary_form=True)
    except ssl.SSLError as error:
        reason = error.reason or error
        raise AgentError(
            f"{address(host, port)} does not speak TLS as a coordinator does: {reason}"
        ) from error
    except OSError as error:
        raise AgentError(
            f"no coordinator at {address(host, port)}: {error.strerror or error}; "
            "is `edgemeter serve` running there, and is the port right?"
        ) from error
    if der is None:
        raise AgentError(f"{address(host, port)} showed no certificate")
    return ssl.DER_cert_to_PEM_cert(der)


def _channel(where: str, roots_pem: str) -> grpc.Channel:
    # gRPC takes a leaf as a root: it verifies partial chains.
    credentials = grpc.ssl_channel_credentials(root_certificates=roots_pem.encode())
    options = [("grpc.ssl_target_name_override", COORDINATOR_TLS_NAME), ("grpc.enable_retries", 0)]
    return grpc.secure_channel(where, credentials, options=options)
