from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from edgemeter_agent import identity
from edgemeter_agent.failure import AgentError

BOARD = identity.Identity(
    device_id="d1",
    name="pi5",
    host="lab",
    enrol_port=1,
    fleet_port=2,
    key_pem="secret",
    certificate_chain_pem="chain",
    ca_pem="ca",
)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "identity.json"
    assert identity.load(path) is None
    identity.save(BOARD, path)
    assert identity.load(path) == BOARD
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["identity.json"]


def test_the_key_is_not_shown() -> None:
    assert "secret" not in repr(BOARD)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"device_id": "d1"}'])
def test_a_damaged_one_is_one_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "identity.json"
    path.write_text(content)
    with pytest.raises(AgentError, match="join again with --force"):
        identity.load(path)


def test_what_a_later_agent_adds_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "identity.json"
    identity.save(BOARD, path)
    path.write_text(path.read_text().replace("{", '{"renewed_at_unix_ms": 1,', 1))
    assert identity.load(path) == BOARD


def test_a_failed_write_leaves_what_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "identity.json"
    identity.save(BOARD, path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(AgentError, match="No space left on device"):
        identity.save(dataclasses.replace(BOARD, name="other"), path)
    assert identity.load(path) == BOARD
    assert [one.name for one in tmp_path.iterdir()] == ["identity.json"]
