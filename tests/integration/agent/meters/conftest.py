from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.agent.meters.shifted import Shifted

ROOT = Path(__file__).parents[4]


@pytest.fixture
def shifted() -> Iterator[Callable[..., Shifted]]:
    """Starts servers whose clocks are others (see shifted_server)."""
    started: list[Shifted] = []

    def start(offset_ns: int = 0, drift: float = 0.0, token: str = "", fail_after: int = 0) -> Shifted:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.integration.agent.meters.shifted_server",
                *(str(offset_ns), str(drift), token, str(fail_after)),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        started.append(Shifted(process, int(process.stdout.readline())))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.communicate()
