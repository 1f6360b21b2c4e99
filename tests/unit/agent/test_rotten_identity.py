from __future__ import annotations

from pathlib import Path

import pytest

from edgemeter_agent import identity
from edgemeter_agent.failure import AgentError


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\0" * 512, b"", b"[]", b"{}"])
def test_what_a_card_made_of_it_is_called_damaged(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "identity.json"
    path.write_bytes(content)
    with pytest.raises(AgentError, match=r"is damaged .*: join again with --force"):
        identity.load(path)
