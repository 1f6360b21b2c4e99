"""Reading a meter that has to be asked, at a steady pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from threading import Event

from edgemeter_agent.meters import Reading


def paced(read: Callable[[], Reading], rate_hz: float, stop: Event) -> Iterator[Reading]:
    """What `read` gives, `rate_hz` times a second; a reading that took too long moves those after it."""
    period_s = 1 / rate_hz
    due_s = time.monotonic()
    while not stop.is_set():
        yield read()
        due_s = max(due_s + period_s, time.monotonic())
        if stop.wait(max(due_s - time.monotonic(), 0)):
            return
