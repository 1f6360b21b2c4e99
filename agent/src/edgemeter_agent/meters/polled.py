"""A meter that has to be asked for each reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Event

from edgemeter_agent.meters import Description, Reading
from edgemeter_agent.meters.pacing import paced


def _nothing() -> None:
    """What most meters hold."""


class Polled:
    """`start` begins to read and gives what reads once; it is called for each time that `readings` is."""

    def __init__(
        self,
        description: Description,
        start: Callable[[], Callable[[], Reading]],
        close: Callable[[], None] = _nothing,
    ) -> None:
        self._description = description
        self._start = start
        self._close = close

    @property
    def description(self) -> Description:
        return self._description

    def readings(self, stop: Event) -> Iterator[Reading]:
        return paced(self._start(), self._description.rate_hz, stop)

    def close(self) -> None:
        self._close()
