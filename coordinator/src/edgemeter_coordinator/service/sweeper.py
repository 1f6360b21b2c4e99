"""What happens because time passes: leases run out, silent boards are let go."""

from __future__ import annotations

import asyncio
import logging
import time

from edgemeter_coordinator.service import attempts
from edgemeter_coordinator.service.changes import Changes
from edgemeter_coordinator.service.sessions import Sessions
from edgemeter_coordinator.store import devices
from edgemeter_coordinator.store.database import Database

log = logging.getLogger(__name__)

SILENT_AFTER_HEARTBEATS = 3
NOTE_SEEN_EVERY_S = 60


class Sweeper:
    """Looks every so often; `run` never returns."""

    def __init__(
        self,
        *,
        database: Database,
        sessions: Sessions,
        changes: Changes,
        lease_ttl_s: float,
        heartbeat_interval_s: float,
    ) -> None:
        self._database = database
        self._sessions = sessions
        self._changes = changes
        self._longest_silence_s = SILENT_AFTER_HEARTBEATS * heartbeat_interval_s
        self._every_s = min(2.0, lease_ttl_s / 4, heartbeat_interval_s / 2)
        self._noted_at_s = time.monotonic()

    async def run(self) -> None:
        """Sweeps until cancelled. A sweep that fails is logged and tried again."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self._sweep()
            except Exception:
                log.exception("a sweep failed")

    async def _sweep(self) -> None:
        for job in await self._database.transact(attempts.expire):
            log.warning("job %s: attempt %d lost its lease", job.id, job.attempt)
            self._sessions.stopped(job.id)
            self._changes.notify(job.study_id)
            self._sessions.nudge([job.device_id])
        for session in self._sessions.close_silent(self._longest_silence_s):
            log.warning("board %s has been silent: let go", session.device_id)
        if time.monotonic() - self._noted_at_s > NOTE_SEEN_EVERY_S:
            self._noted_at_s = time.monotonic()
            await self._database.transact(devices.note_seen, self._sessions.silence_ms())
