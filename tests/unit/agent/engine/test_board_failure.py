from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from edgemeter_agent.engine import arrays
from edgemeter_agent.engine.job import board_failure


@pytest.mark.parametrize(
    ("error", "line"),
    [
        pytest.param(
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/job/samples-0.npz"),
            "the board could not go on: /job/samples-0.npz: No space left on device; free some",
            id="full",
        ),
        pytest.param(
            PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/work"),
            "the board could not go on: /work: Permission denied",
            id="refused",
        ),
        pytest.param(OSError("odd"), "the board could not go on: odd", id="without-a-number"),
        pytest.param(BlockingIOError(), "the board could not go on: BlockingIOError", id="without-a-word"),
    ],
)
def test_one_line_says_what_and_where(error: OSError, line: str) -> None:
    assert board_failure(error) == line


def test_a_full_disk_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match=r"samples\.npz") as raised:
        arrays.write(str(tmp_path / "samples.npz"), {"latency_ns": np.zeros(3)})
    assert raised.value.errno == errno.ENOSPC
