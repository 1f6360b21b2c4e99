"""Tells those who watch a study that it has changed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator

MIN_INTERVAL_S = 0.2
"""A watcher is told at most this often, however many boards report progress."""


class Changes:
    """Who watches which study. Used from the event loop only."""

    def __init__(self) -> None:
        self._watchers: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def notify(self, study_id: str) -> None:
        """The study is no longer as it was."""
        for changed in self._watchers.get(study_id, ()):
            changed.set()

    def notify_all(self) -> None:
        """Every study may be no longer as it was: a board came or went, the service stops."""
        for study_id in list(self._watchers):
            self.notify(study_id)

    async def watch(self, study_id: str) -> AsyncIterator[None]:
        """Yields at once, and again after changes; several in quick succession count as one.

        What is read after a yield is at least as new as the change that caused it.
        """
        changed = asyncio.Event()
        self._watchers[study_id].add(changed)
        try:
            while True:
                changed.clear()
                yield
                await asyncio.sleep(MIN_INTERVAL_S)
                await changed.wait()
        finally:
            self._watchers[study_id].discard(changed)
            if not self._watchers[study_id]:
                del self._watchers[study_id]
