from __future__ import annotations

import shutil
import socket
import ssl
import sys
from pathlib import Path
from typing import Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edgemeter_agent import cli, identity, joining, signing_request
from edgemeter_agent.failure import AgentError
from edgemeter_protos.v1 import device_pb2
from tests.integration.agent.link.miniature_coordinator import Coordinator


class JoinLine(Protocol):
    """The words of a join command; `more` are its further options."""

    def __call__(self, token: str = "join-me", fingerprint: str | None = None, *more: str) -> list[str]: ...


@pytest.fixture
def typed(coordinator: Coordinator, tmp_path: Path) -> JoinLine:
    """The join command line for the test's coordinator."""

    def line(token: str = "join-me", fingerprint: str | None = None, *more: str) -> list[str]:
        address = f"127.0.0.1:{coordinator.enrol_port}"
        pinned = f"sha256:{fingerprint or coordinator.authority.fingerprint}"
        return ["join", address, token, "--ca-fingerprint", pinned, "--state-dir", str(tmp_path), *more]

    return line


def test_a_board_joins(
    coordinator: Coordinator, typed: JoinLine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(typed("join-me", None, "--name", "pi5")) == 0
    assert "as pi5 (device d1)" in capsys.readouterr().out
    path = tmp_path / "identity.json"
    assert path.stat().st_mode & 0o777 == 0o600
    joined = identity.load(path)
    assert joined is not None
    assert (joined.host, joined.enrol_port, joined.fleet_port) == (
        "127.0.0.1",
        coordinator.enrol_port,
        coordinator.fleet_port,
    )
    key = serialization.load_pem_private_key(joined.key_pem.encode(), None)
    leaf = x509.load_pem_x509_certificates(joined.certificate_chain_pem.encode())[0]
    assert leaf.public_key() == key.public_key()
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == "secp256r1"


def test_a_wrong_fingerprint_never_sees_the_token(
    coordinator: Coordinator, typed: JoinLine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = "ab" * 32
    assert cli.main(typed("join-me", wrong)) == 1
    said = capsys.readouterr().err
    assert wrong in said
    assert coordinator.authority.fingerprint in said
    assert said.count("\n") == 1
    assert coordinator.seen.tokens == []
    assert not (tmp_path / "identity.json").exists()


def test_a_refused_token_is_one_line_and_leaves_nothing(
    coordinator: Coordinator, typed: JoinLine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(typed("old-token")) == 1
    said = capsys.readouterr().err
    assert "the token has expired: make another" in said
    assert said.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} <= {"lock"}


def test_joining_twice_needs_force(
    coordinator: Coordinator, typed: JoinLine, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(typed()) == 0
    assert cli.main(typed()) == 1
    assert f"has joined 127.0.0.1:{coordinator.enrol_port}" in capsys.readouterr().err
    assert len(coordinator.seen.tokens) == 1
    assert cli.main(typed("join-me", None, "--force")) == 0
    assert len(coordinator.seen.tokens) == 2


def test_a_failed_forced_join_keeps_the_old_identity(
    coordinator: Coordinator, typed: JoinLine, tmp_path: Path
) -> None:
    assert cli.main(typed()) == 0
    before = (tmp_path / "identity.json").read_bytes()
    assert cli.main(typed("old-token", None, "--force")) == 1
    assert (tmp_path / "identity.json").read_bytes() == before


def test_pending_approval_has_its_own_exit_code(
    coordinator: Coordinator, typed: JoinLine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coordinator.faults.pending = True
    assert cli.main(typed()) == 3
    assert "must approve this board first" in capsys.readouterr().out
    assert not (tmp_path / "identity.json").exists()


def test_nobody_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        line = ["join", address, "t", "--ca-fingerprint", "sha256:" + "0" * 64, "--state-dir", str(tmp_path)]
        assert cli.main(line) == 1
    said = capsys.readouterr().err
    assert f"no coordinator at {address}" in said
    assert said.count("\n") == 1


def test_a_server_with_another_ca_than_it_shows_gets_no_token(coordinator: Coordinator) -> None:
    """A man in the middle can hand on the true CA, but cannot show a certificate that it signed."""
    true_ca = coordinator.authority
    impostor = type(true_ca)()
    coordinator.stop()
    coordinator._server_identity = impostor.server()
    coordinator.start()
    with pytest.raises(AgentError, match="did not let this board join"):
        joining.join(
            host="127.0.0.1",
            port=coordinator.enrol_port,
            token="join-me",
            ca_fingerprint=true_ca.fingerprint,
            name="",
            facts=device_pb2.DeviceFacts(),
        )
    assert coordinator.seen.tokens == []


@pytest.mark.parametrize("make", ["openssl", "cryptography"])
def test_both_ways_to_make_a_key_agree(make: str) -> None:
    made = signing_request.make() if make == "openssl" else signing_request.by_cryptography()
    csr = x509.load_pem_x509_csr(made.csr_pem.encode())
    key = serialization.load_pem_private_key(made.key_pem.encode(), None)
    assert csr.is_signature_valid
    assert csr.public_key() == key.public_key()
    assert made.key_pem not in repr(made)


def test_without_openssl_and_cryptography_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(AgentError, match="apt install openssl"):
        signing_request.make()


def test_the_fingerprint_is_that_of_the_der(coordinator: Coordinator) -> None:
    pem = coordinator.authority.pem
    assert joining.fingerprint(pem) == coordinator.authority.fingerprint
    assert len(ssl.PEM_cert_to_DER_cert(pem)) > 100


def test_an_unwritable_state_directory_is_one_line(
    coordinator: Coordinator, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["join", f"127.0.0.1:{coordinator.enrol_port}", "t", "--ca-fingerprint", "sha256:" + "0" * 64]
    assert cli.main([*line, "--state-dir", str(Path("/proc/nowhere"))]) == 1
    assert "cannot make the state directory /proc/nowhere" in capsys.readouterr().err
