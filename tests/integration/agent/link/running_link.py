"""A Link at work beside the test."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

from edgemeter_agent.link.driver import Link
from tests.integration.agent.link.patience import PATIENCE_S


class RunningLink:
    """A Link at work in a thread."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.exit_code: int | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.exit_code = self.link.run()

    def stop(self) -> int | None:
        self.link.stop("stopped by the test")
        return self.join()

    def join(self) -> int | None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        return self.exit_code


class StartLink(Protocol):
    """Starts a Link with a fake engine: start_link("measure"), start_link("hang", PID_FILE)."""

    def __call__(self, *engine: str | Path, state: str = "state") -> RunningLink: ...
