from __future__ import annotations

import datetime
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgemeter_coordinator import authority as module
from edgemeter_coordinator.authority import Authority, certificate_identity
from edgemeter_coordinator.refusal import Refused
from edgemeter_protos import COORDINATOR_TLS_NAME
from edgemeter_protos.v1 import refusal_pb2


def request(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey, name: str = "board"
) -> str:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, algorithm)
    )
    return csr.public_bytes(serialization.Encoding.PEM).decode()


def usages(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_the_authority_outlives_the_process(tmp_path: Path) -> None:
    first = Authority.open(tmp_path)
    again = Authority.open(tmp_path)
    assert again.ca_pem == first.ca_pem
    assert again.fingerprint == first.fingerprint
    assert first.fingerprint.startswith("sha256:")
    assert len(first.fingerprint) == len("sha256:") + 64


def test_keys_are_nobody_elses(tmp_path: Path) -> None:
    Authority.open(tmp_path).server_identity()
    for key in ("ca.key", "server.key"):
        assert stat.S_IMODE((tmp_path / "tls" / key).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700


def test_the_ca_may_sign_leaves_only_and_lasts(tmp_path: Path) -> None:
    ca = x509.load_pem_x509_certificate(Authority.open(tmp_path).ca_pem.encode())
    constraints = ca.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
    assert ca.not_valid_after_utc - datetime.datetime.now(datetime.UTC) > datetime.timedelta(days=3600)


def test_the_servers_certificate(tmp_path: Path) -> None:
    authority = Authority.open(tmp_path)
    leaf, ca = x509.load_pem_x509_certificates(authority.server_identity().chain_pem)
    leaf.verify_directly_issued_by(ca)
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [COORDINATOR_TLS_NAME]
    assert usages(leaf) == [ExtendedKeyUsageOID.SERVER_AUTH]


def test_the_servers_certificate_is_renewed_when_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority.open(tmp_path)
    first = authority.server_identity()
    assert authority.server_identity() == first
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=module.SERVER_DAYS / 2 + 1)
    monkeypatch.setattr(module, "_now", lambda: later)
    renewed = authority.server_identity()
    assert renewed.chain_pem != first.chain_pem
    key = serialization.load_pem_private_key(renewed.key_pem, None)
    leaf = x509.load_pem_x509_certificate(renewed.chain_pem)
    assert key.public_key() == leaf.public_key()


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(ec.generate_private_key(ec.SECP256R1()), id="P-256"),
        pytest.param(ec.generate_private_key(ec.SECP384R1()), id="P-384"),
        pytest.param(ed25519.Ed25519PrivateKey.generate(), id="Ed25519"),
    ],
)
def test_a_board_gets_its_key_certified_and_nothing_else(
    tmp_path: Path, key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
) -> None:
    authority = Authority.open(tmp_path)
    signed = authority.sign_device(request(key, "somebody else"), "0123")
    leaf, ca = x509.load_pem_x509_certificates(signed.chain_pem.encode())
    leaf.verify_directly_issued_by(ca)
    assert leaf.public_key() == key.public_key()
    assert certificate_identity(signed.chain_pem.encode()) == ("0123", signed.sha256)
    assert usages(leaf) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    left = leaf.not_valid_after_utc - datetime.datetime.now(datetime.UTC)
    assert datetime.timedelta(days=364) < left <= datetime.timedelta(days=365)


def forged() -> str:
    """A request whose signature, the last 70 bytes or so, has one character changed."""
    head, *lines, foot = request(ec.generate_private_key(ec.SECP256R1())).splitlines()
    body = "".join(lines)
    changed = "A" if body[-20] != "A" else "B"
    return "\n".join([head, f"{body[:-20]}{changed}{body[-19:]}", foot])


@pytest.mark.parametrize(
    ("csr", "message"),
    [
        pytest.param("", "no certificate request", id="empty"),
        pytest.param("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n", "no certificate request", id="rubbish"),
        pytest.param(request(rsa.generate_private_key(65537, 2048)), "no accepted type", id="RSA"),
        pytest.param(request(ec.generate_private_key(ec.SECP521R1())), "no accepted type", id="P-521"),
        pytest.param(forged(), "certificate request", id="signature wrong"),
        pytest.param("x" * (module.MAX_CSR_BYTES + 1), "at most", id="too long"),
    ],
)
def test_what_is_not_certified(tmp_path: Path, csr: str, message: str) -> None:
    with pytest.raises(Refused, match=message) as refused:
        Authority.open(tmp_path).sign_device(csr, "0123")
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_BAD_REQUEST
