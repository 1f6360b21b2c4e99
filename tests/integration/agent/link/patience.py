"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_S = 30.0

Found = TypeVar("Found")


def wait_until(condition: Callable[[], Found | None], what: str, timeout_s: float = PATIENCE_S) -> Found:
    """The first true value of `condition`; fails naming `what`."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"still waiting for {what}"
        time.sleep(0.01)
    return found
