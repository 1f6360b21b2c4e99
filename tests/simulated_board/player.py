"""A simulated board: a tree of files that lives, and follows the real load of the real benchmark processes.

The true power is known at each step, so that what a measurement says of it is wrong by a number.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from tests.simulated_board import trees
from tests.simulated_board.physics import Board, Truth
from tests.simulated_board.sensors import Files, Sensor

STEP_NS = 5_000_000
FULL_CLOCK_KHZ = 1_728_000


class Player:
    """Plays from the `with` block's begin to its end, in a thread, about 200 steps a second.

    Each step asks how much processor time was used since the last (`busy_ns` of CLOCK_MONOTONIC's now), has
    the board take the power for that, and rewrites the files of its sensors; every file is replaced at once,
    so that none is read half-written.
    """

    def __init__(
        self, root: Path, board: Board, sensors: Sequence[Sensor], busy_ns: Callable[[int], int]
    ) -> None:
        self._root, self._board, self._sensors, self._busy = root, board, sensors, busy_ns
        self._shown: dict[str, str] = {}
        self._stop = threading.Event()
        self._lock = threading.RLock()
        self._thread = threading.Thread(target=self._play, name="simulated board", daemon=True)
        self._last_ns = time.monotonic_ns()
        self._last_busy_ns = busy_ns(self._last_ns)
        self._throttled_bits = 0
        self.truth = Truth(self._last_ns)
        self.failure: BaseException | None = None

    def __enter__(self) -> Player:
        self._step()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self.failure is not None and error is None:
            raise self.failure

    def throttle(self, clock: float) -> None:
        """Slows the board down to this share of its clock, and shows it: frequency, and the board's bits or
        counters. The load itself is real, and does not slow down."""
        with self._lock:
            # What was until now was at the old clock.
            self._step()
            self._board.clock = clock
            self._show({f"{trees.CPUFREQ}/scaling_cur_freq": f"{round(FULL_CLOCK_KHZ * clock)}\n"})
            now, sticky = 1 << 2, 1 << 18
            self._throttled_bits = (self._throttled_bits & ~now) | sticky | (now if clock < 1 else 0)
            self._show_event("oc2_event_cnt")

    def under_voltage(self) -> None:
        """An event that is over already: the sticky bit, or one count more."""
        with self._lock:
            self._throttled_bits |= 1 << 16
            self._show_event("oc1_event_cnt")

    def warm_up(self, ambient_c: float) -> None:
        """The room, or the fan: the board drifts to it."""
        with self._lock:
            self._step()
            self._board.ambient_c = ambient_c

    def _show_event(self, counter: str) -> None:
        if (self._root / trees.THROTTLED_TEXT).exists():
            self._show({trees.THROTTLED_TEXT: f"throttled={self._throttled_bits:#x}\n"})
        path = f"{trees.THROTTLE_CHIP}/{counter}"
        if (self._root / path).exists():
            self._show({path: f"{int((self._root / path).read_text()) + 1}\n"})

    def _play(self) -> None:
        try:
            while not self._stop.wait(max(self._last_ns + STEP_NS - time.monotonic_ns(), 0) / 1e9):
                self._step()
            self._step()
        except BaseException as failure:
            self.failure = failure

    def _step(self) -> None:
        with self._lock:
            now_ns = time.monotonic_ns()
            busy_ns = self._busy(now_ns)
            elapsed_ns = max(now_ns - self._last_ns, 1)
            busy_cores = (busy_ns - self._last_busy_ns) / elapsed_ns
            power_mw = self._board.advance(busy_cores, elapsed_ns / 1e9)
            self.truth.add(self._last_ns + elapsed_ns, power_mw)
            self._last_ns, self._last_busy_ns = self._last_ns + elapsed_ns, busy_ns
            for sensor in self._sensors:
                self._show(sensor.advance(power_mw, elapsed_ns))
            self._show({f"{trees.ZONE}/temp": f"{round(self._board.temperature_c * 1000)}\n"})

    def _show(self, files: Files) -> None:
        for path, content in files.items():
            if self._shown.get(path) != content:
                target = self._root / path
                beside = target.with_name(f".{target.name}.new")
                beside.write_text(content)
                os.replace(beside, target)  # noqa: PTH105
                self._shown[path] = content
