"""How much processor time the engine's variant processes have used."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

LOOK_FOR_NEW_EVERY_NS = 50_000_000


class ChildrenLoad:
    """Of all variant processes below a process: nanoseconds on a processor, from the scheduler's own account
    (/proc/PID/task/*/schedstat), since /proc/PID/stat counts in ticks of 10 ms."""

    def __init__(self, ancestor: int, command: str = "edgemeter_agent.engine.child") -> None:
        self._ancestor = psutil.Process(ancestor)
        self._command = command
        self._busy_ns: dict[str, int] = {}
        self._processes: list[int] = []
        self._look_again_ns = 0

    def busy_ns(self, now_ns: int) -> int:
        """Never falls: what a thread or process has used stays counted when it ends."""
        if now_ns >= self._look_again_ns:
            self._processes = self._find()
            self._look_again_ns = now_ns + LOOK_FOR_NEW_EVERY_NS
        for process in self._processes:
            self._read(process)
        return sum(self._busy_ns.values())

    def _find(self) -> list[int]:
        found = []
        for child in self._ancestor.children(recursive=True):
            try:
                if self._command in child.cmdline():
                    found.append(child.pid)
            except psutil.Error:
                continue  # it has ended
        return found

    def _read(self, process: int) -> None:
        try:
            threads = os.listdir(f"/proc/{process}/task")  # noqa: PTH208
        except OSError:
            return
        for thread in threads:
            try:
                used = Path(f"/proc/{process}/task/{thread}/schedstat").read_text().split()[0]
            except (OSError, IndexError):
                continue
            key = f"{process}/{thread}"
            self._busy_ns[key] = max(self._busy_ns.get(key, 0), int(used))
