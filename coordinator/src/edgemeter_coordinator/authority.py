"""The coordinator's certificate authority: its own certificate, and those of the boards.

Boards and users pin the CA by the SHA-256 of its certificate, so it stays the same for the life of a
state directory. It signs one server, which is itself, under the name COORDINATOR_TLS_NAME whatever the
network calls it, and one client certificate for each board.
"""

from __future__ import annotations

import datetime
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgemeter_coordinator.refusal import Refused
from edgemeter_protos import COORDINATOR_TLS_NAME
from edgemeter_protos.v1 import refusal_pb2

CA_DAYS = 3650
SERVER_DAYS = 825
DEVICE_DAYS = 365
# Boards without a battery-backed clock start with the time of their last shutdown.
BACKDATED = datetime.timedelta(days=1)
MAX_CSR_BYTES = 16 * 1024
_CURVES = (ec.SECP256R1, ec.SECP384R1)


@dataclass(frozen=True, kw_only=True)
class DeviceCertificate:
    """A board's certificate, and how the devices table knows it."""

    # Leaf first, then the CA.
    chain_pem: str
    # Lower-case hexadecimal SHA-256 of the leaf's DER.
    sha256: str


@dataclass(frozen=True, kw_only=True)
class ServerIdentity:
    """What the coordinator's ports show."""

    key_pem: bytes
    # Leaf first, then the CA.
    chain_pem: bytes


class Authority:
    """Signs certificates; `open` is how to get one."""

    def __init__(
        self, directory: Path, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate
    ) -> None:
        self._directory = directory
        self._key = key
        self._certificate = certificate
        self.ca_pem = _pem(certificate).decode()

    @classmethod
    def open(cls, state_dir: Path) -> Authority:
        """The authority kept in `state_dir`/tls; made there on first use."""
        directory = state_dir / "tls"
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        certificate_path, key_path = directory / "ca.pem", directory / "ca.key"
        if not certificate_path.exists():
            key = ec.generate_private_key(ec.SECP256R1())
            # The certificate last: its presence says that the pair is whole.
            _write(key_path, _key_pem(key), mode=0o600)
            _write(certificate_path, _pem(_self_signed(key)), mode=0o644)
        return cls(
            directory, _load_key(key_path), x509.load_pem_x509_certificate(certificate_path.read_bytes())
        )

    @property
    def fingerprint(self) -> str:
        """ "sha256:" and the hexadecimal SHA-256 of the CA certificate's DER."""
        return f"sha256:{_sha256(self._certificate)}"

    def server_identity(self) -> ServerIdentity:
        """The server's key and chain; made anew when less than half of its time is left."""
        certificate_path, key_path = self._directory / "server.pem", self._directory / "server.key"
        if not certificate_path.exists() or self._is_old(certificate_path):
            key = ec.generate_private_key(ec.SECP256R1())
            certificate = self._sign(
                key.public_key(),
                name=COORDINATOR_TLS_NAME,
                days=SERVER_DAYS,
                usage=ExtendedKeyUsageOID.SERVER_AUTH,
                names=x509.SubjectAlternativeName([x509.DNSName(COORDINATOR_TLS_NAME)]),
            )
            # A crash between the two writes must not leave a certificate beside another's key.
            certificate_path.unlink(missing_ok=True)
            _write(key_path, _key_pem(key), mode=0o600)
            _write(certificate_path, _pem(certificate) + self.ca_pem.encode(), mode=0o644)
        return ServerIdentity(key_pem=key_path.read_bytes(), chain_pem=certificate_path.read_bytes())

    def sign_device(self, csr_pem: str, device_id: str) -> DeviceCertificate:
        """A client certificate for the public key of `csr_pem`; every name in it is ours.

        Raises Refused (BAD_REQUEST) where it is no request, its signature is wrong, or its key is neither
        ECDSA on P-256 or P-384 nor Ed25519.
        """
        certificate = self._sign(
            _requested_key(csr_pem), name=device_id, days=DEVICE_DAYS, usage=ExtendedKeyUsageOID.CLIENT_AUTH
        )
        return DeviceCertificate(
            chain_pem=_pem(certificate).decode() + self.ca_pem, sha256=_sha256(certificate)
        )

    def _is_old(self, certificate_path: Path) -> bool:
        certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        left = certificate.not_valid_after_utc - _now()
        return left < datetime.timedelta(days=SERVER_DAYS / 2)

    def _sign(
        self,
        key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
        *,
        name: str,
        days: int,
        usage: x509.ObjectIdentifier,
        names: x509.SubjectAlternativeName | None = None,
    ) -> x509.Certificate:
        authority_key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            _builder(name, days)
            .issuer_name(self._certificate.subject)
            .public_key(key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(authority_key_id, critical=False)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def certificate_identity(certificate_pem: bytes) -> tuple[str, str]:
    """The common name of a certificate, "" where it has none, and the hexadecimal SHA-256 of its DER."""
    certificate = x509.load_pem_x509_certificate(certificate_pem)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return (str(names[0].value) if names else ""), _sha256(certificate)


def _requested_key(csr_pem: str) -> ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey:
    if len(csr_pem) > MAX_CSR_BYTES:
        raise _bad_request(
            f"the certificate request has {len(csr_pem)} bytes: at most {MAX_CSR_BYTES} are read"
        )
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        key = request.public_key()
        signed = request.is_signature_valid
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        raise _bad_request("what was sent is no certificate request (PKCS #10, PEM)") from None
    if not signed:
        raise _bad_request("the certificate request is not signed by the key that it is for")
    if isinstance(key, ed25519.Ed25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    raise _bad_request(
        "the certificate request's key is of no accepted type: ECDSA P-256 or P-384, or Ed25519"
    )


def _bad_request(message: str) -> Refused:
    return Refused(refusal_pb2.REFUSAL_REASON_BAD_REQUEST, message)


def _self_signed(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    builder = _builder("edgemeter CA", CA_DAYS)
    return (
        builder.issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edgemeter CA")]))
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _builder(name: str, days: int) -> x509.CertificateBuilder:
    now = _now()
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _key_usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _sha256(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Whole or not at all, and never readable by others for a moment."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    temporary.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
