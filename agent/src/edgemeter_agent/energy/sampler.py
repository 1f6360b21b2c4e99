"""Collecting a meter's readings beside a measurement."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from edgemeter_agent.energy.integrate import Span
from edgemeter_agent.energy.judge import METER_GONE
from edgemeter_agent.energy.recorder import MAX_READINGS, Recorder
from edgemeter_agent.energy.trace import Trace
from edgemeter_agent.meters import Meter, MeterError

CPU_TIME_EVERY_NS = 100_000_000
"""Asking for the thread's processor time is a system call by itself."""
STOP_TIMEOUT_S = 10
WAIT_STEP_S = 0.005
BROKEN = "meter_broken"


class Sampler:
    """A thread that reads an opened meter from the `with` block's begin to its end.

    Faults are readings without numbers. A MeterError ends the readings, not the measurement; its code is
    `gone`. The meter itself is closed by whoever opened it.
    """

    def __init__(self, meter: Meter, max_readings: int = MAX_READINGS) -> None:
        self._meter = meter
        self._recorder = Recorder(len(meter.description.rails), max_readings)
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._first = threading.Event()
        self._thread = threading.Thread(target=self._collect, name="meter", daemon=True)
        self._began_ns = self._ended_ns = 0
        self._cpu_ns = 0
        self._gone: tuple[str, str] | None = None

    def __enter__(self) -> Sampler:
        self._began_ns = time.monotonic_ns()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Waits for the thread, which may sit in a read for a while. May be called again."""
        self._stop.set()
        self._thread.join(STOP_TIMEOUT_S)
        self._ended_ns = self._ended_ns or time.monotonic_ns()

    def wait_for_first(self, timeout_s: float) -> bool:
        """True once a reading with a number came; False where none did, or none will."""
        self._first.wait(timeout_s)
        with self._lock:
            return bool(self._recorder.trace().monotonic_ns.size)

    def wait_for(self, monotonic_ns: int, timeout_s: float) -> None:
        """Until a reading from then or later came; some meters hand theirs over late, and many at once. Gives
        up where none will come."""
        end = time.monotonic() + timeout_s
        while self._gone is None and time.monotonic() < end:
            with self._lock:
                if self._recorder.last_ns >= monotonic_ns:
                    return
            self._stop.wait(WAIT_STEP_S)

    def trace(self) -> Trace:
        """Everything so far."""
        with self._lock:
            return self._recorder.trace()

    @property
    def gone(self) -> tuple[str, str] | None:
        """Code and detail of why there will be no more readings."""
        return self._gone

    @property
    def collected(self) -> Span:
        return Span(begin_ns=self._began_ns, end_ns=self._ended_ns or time.monotonic_ns())

    @property
    def cpu_share(self) -> float:
        """Processor time of the thread, as a share of one processor. What other processes do for the meter
        (`exec:`) is not in it."""
        return self._cpu_ns / max(self.collected.duration_ns, 1)

    def _collect(self) -> None:
        began_ns = time.thread_time_ns()
        due_ns = 0
        try:
            for reading in self._meter.readings(self._stop):
                with self._lock:
                    self._recorder.add(reading)
                if reading.total_mw is not None:
                    self._first.set()
                now_ns = time.monotonic_ns()
                if now_ns >= due_ns:
                    self._cpu_ns = time.thread_time_ns() - began_ns
                    due_ns = now_ns + CPU_TIME_EVERY_NS
                if self._stop.is_set():
                    return
            if not self._stop.is_set():
                self._gone = (METER_GONE, "the meter ended its readings")
        except MeterError as error:
            self._gone = (error.code, error.detail)
        except Exception as error:
            # A meter with a fault of its own must not end in an endless wait, nor silently.
            self._gone = (BROKEN, f"{type(error).__name__}: {error}")
        finally:
            self._cpu_ns = time.thread_time_ns() - began_ns
            self._first.set()
