"""A process's peak resident memory over a while."""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
"""Linux, Documentation/filesystems/proc.rst: writing 5 sets the peak to the present resident size."""


class PeakMemory:
    """Of this process, from now on."""

    def __init__(self) -> None:
        try:
            _CLEAR_REFS.write_text(_RESET_PEAK)
            self._known = True
        except OSError:
            # No Linux, or forbidden: a peak since the process's start would be another number.
            self._known = False

    def peak_bytes(self) -> int:
        """0 where it can't be told."""
        if not self._known:
            return 0
        fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines() if ":" in line)
        kilobytes, _unit = fields["VmHWM"].split()
        return int(kilobytes) * 1024
