from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgemeter_agent.failure import AgentError
from edgemeter_agent.state_dir import StateDir, state_root


@pytest.mark.parametrize(
    ("given", "environment", "root"),
    [
        pytest.param("/a", {"EDGEMETER_AGENT_STATE": "/b"}, "/a", id="the flag"),
        pytest.param(None, {"EDGEMETER_AGENT_STATE": "/b", "XDG_STATE_HOME": "/c"}, "/b", id="our variable"),
        pytest.param(None, {"XDG_STATE_HOME": "/c"}, "/c/edgemeter-agent", id="the desktop's variable"),
        pytest.param(None, {}, "~/.local/state/edgemeter-agent", id="the usual place"),
    ],
)
def test_state_root(given: str | None, environment: dict[str, str], root: str) -> None:
    assert state_root(given, environment) == Path(root).expanduser()


def test_one_agent_a_directory(tmp_path: Path) -> None:
    state_dir = StateDir(tmp_path / "state")
    assert state_dir.holder() is None
    with state_dir.locked():
        assert state_dir.holder() == str(os.getpid())
        with (
            pytest.raises(AgentError, match=rf"another edgemeter-agent \(pid {os.getpid()}\)"),
            state_dir.locked(),
        ):
            pass
    assert state_dir.holder() is None
    with state_dir.locked():
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
