"""Makes this board's key and certificate signing request, on the board."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass, field

from edgemeter_agent.failure import AgentError

OPENSSL_TIMEOUT_S = 30

# `openssl req` insists on a configuration with this section, and a small system has none.
_CONFIGURATION = "[req]\ndistinguished_name = dn\nprompt = no\n[dn]\nCN = edgemeter-agent\n"


@dataclass(frozen=True, kw_only=True)
class SigningRequest:
    """A fresh P-256 key (PEM, unencrypted) and its PKCS #10 request. The coordinator chooses the names."""

    key_pem: str = field(repr=False)
    csr_pem: str


def make() -> SigningRequest:
    """By the openssl command, else by the package cryptography. Raises AgentError where both are missing."""
    openssl = shutil.which("openssl")
    if openssl is not None:
        return by_openssl(openssl)
    try:
        return by_cryptography()
    except ImportError:
        raise AgentError("openssl is needed to make this board's key: apt install openssl") from None


def by_openssl(openssl: str) -> SigningRequest:
    """The key goes through a pipe, never through a file. Raises AgentError."""
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
    command = [openssl, "req", "-new", "-sha256", "-nodes", *curve, "-config", "/dev/stdin", "-keyout", "-"]
    try:
        done = subprocess.run(
            command, input=_CONFIGURATION, capture_output=True, text=True, timeout=OPENSSL_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AgentError(f"{openssl} could not make a key: {error}") from error
    blocks = _pem_blocks(done.stdout)
    key, csr = blocks.get("PRIVATE KEY"), blocks.get("CERTIFICATE REQUEST")
    if done.returncode != 0 or key is None or csr is None:
        complaint = (done.stderr.strip().splitlines() or ["no key came out"])[-1]
        raise AgentError(f"{openssl} could not make a key: {complaint}")
    return SigningRequest(key_pem=key, csr_pem=csr)


def by_cryptography() -> SigningRequest:
    """Raises ImportError where the package is not installed; it is no dependency of the agent."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "edgemeter-agent")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    csr_pem = csr.public_bytes(serialization.Encoding.PEM)
    return SigningRequest(key_pem=key_pem.decode(), csr_pem=csr_pem.decode())


def _pem_blocks(text: str) -> dict[str, str]:
    blocks: dict[str, str] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("-----BEGIN "):
            lines = []
        lines.append(line)
        if line.startswith("-----END "):
            blocks[line.removeprefix("-----END ").removesuffix("-----")] = "\n".join(lines) + "\n"
    return blocks
