"""`joulescope:[SERIAL]`: a Joulescope on USB, through pyjoulescope_driver (Apache-2.0).

What is read are the instrument's statistics messages: mean power over a block of samples, and energy summed
since the start over every sample, at 1 or 2 MS/s. JS220 and JS320 send them as often as asked (?rate_hz=10),
a JS110 twice a second. A message's stamp is the end of its block, to which the energy belongs, brought from
the sample count to this board's clock; the wall clock, by which the driver maps it, may step.
"""

from __future__ import annotations

import contextlib
import math
import queue
import time
from collections.abc import Callable, Iterator, Mapping
from threading import Event
from typing import Any

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import BOARD, Description, Meter, MeterError, Reading
from edgemeter_agent.meters.sample_clock import SampleClock
from edgemeter_agent.meters.spec import Spec

RATE_HZ = 10.0
MAX_RATE_HZ = 1000.0
JS110_RATE_HZ = 2.0
SAMPLES_PER_S = 1_000_000
"""Of which `s/stats/scnt` counts a block, whatever is streamed."""

GAIN_ERROR = 0.01 / math.sqrt(3)
"""An assumption, 1 % at most; the maker promises better, range by range. ?gain_error= says better."""
OFFSET_MW = 1.0
RESOLUTION_MW = 0.001
ALIGNMENT_NS = 1e6
"""Standard uncertainty of the stamps: what the shortest message takes on USB."""

SILENCE_S = 5.0
MAX_WAITING = 10_000
_POLL_S = 0.1

Message = Mapping[str, Any]


def reading_of(message: Message, arrival_ns: int, clock: SampleClock) -> Reading:
    """A statistics message as the driver's Python binding gives it. Raises ValueError for any other.

    `time.samples.value` is [first, past the last] of the block, `signals.power.avg.value` in W and
    `accumulators.energy.value` in J.
    """
    try:
        end = int(message["time"]["samples"]["value"][1])
        samples_per_s = float(message["time"]["sample_freq"]["value"])
        power, energy = message["signals"]["power"]["avg"], message["accumulators"]["energy"]
        units = (power["units"], energy["units"])
        watts, joules = float(power["value"]), float(energy["value"])
        if units != ("W", "J") or not samples_per_s > 0:
            raise ValueError(f"units {units}, {samples_per_s} samples a second")
        # In whole numbers: after a day, a sample count times 1e9 is beyond a double's digits.
        sample_ns = end * 1_000_000_000 // round(samples_per_s)
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"a message that is no statistics ({type(error).__name__}: {error})") from None
    stamp_ns = clock.to_monotonic_ns(sample_ns, arrival_ns)
    if not (math.isfinite(watts) and math.isfinite(joules)):
        # As it says while its input is beyond every range, or has just been connected.
        return Reading(monotonic_ns=stamp_ns, total_mw=None, fault="no_data")
    return Reading(monotonic_ns=stamp_ns, total_mw=1000 * watts, counter_uj=1e6 * joules)


class JoulescopeMeter:
    """See meters.Meter. The driver calls back from its own thread."""

    alignment_ns = ALIGNMENT_NS

    def __init__(self, spec: Spec, driver: Any, silence_s: float = SILENCE_S) -> None:
        """`driver` is an open pyjoulescope_driver.Driver, which this closes. Raises MeterError."""
        self._driver = driver
        self._name = spec.name
        self._silence_s = silence_s
        self._device = ""
        self._clock = SampleClock()
        self._messages: queue.Queue[tuple[int, Message]] = queue.Queue(MAX_WAITING)
        # Bound once: the driver knows a subscriber by its identity.
        self._callback = self._receive
        try:
            self._device = chosen_device(driver.device_paths(), spec.target)
            rate_hz = self._start(spec.number("rate_hz", RATE_HZ, 0.1, MAX_RATE_HZ))
        except (RuntimeError, TimeoutError) as error:
            self.close()
            raise MeterError("meter_unreachable", f"{spec.name}: {error}") from None
        except MeterError:
            self.close()
            raise
        self.description = spec.described(
            Description(
                name=spec.name,
                kind="joulescope",
                coverage=BOARD,
                rails=(),
                rate_hz=rate_hz,
                resolution_mw=RESOLUTION_MW,
                gain_error=GAIN_ERROR,
                offset_error_mw=OFFSET_MW,
                lag_s=0.0,
                has_counter=True,
                detail=f"Joulescope {self._device}",
            )
        )

    def readings(self, stop: Event) -> Iterator[Reading]:
        last_s = time.monotonic()
        last_ns = 0
        while not stop.is_set():
            try:
                arrival_ns, message = self._messages.get(timeout=_POLL_S)
            except queue.Empty:
                if time.monotonic() - last_s > self._silence_s:
                    raise MeterError(
                        "meter_gone", f"{self._name}: no message for {self._silence_s:g} s: is it unplugged?"
                    ) from None
                continue
            last_s = time.monotonic()
            try:
                reading = reading_of(message, arrival_ns, self._clock)
            except ValueError as error:
                raise MeterError("meter_rubbish", f"{self._name}: {error}") from None
            if reading.monotonic_ns <= last_ns:
                reading = Reading(monotonic_ns=arrival_ns, total_mw=None, fault="stamp_backwards")
            last_ns = max(last_ns, reading.monotonic_ns)
            yield reading

    def close(self) -> None:
        driver, self._driver = self._driver, None
        if driver is None:
            return
        if self._device:
            # An unplugged one answers neither.
            with contextlib.suppress(RuntimeError, TimeoutError):
                driver.unsubscribe_all(self._callback)
            with contextlib.suppress(RuntimeError, TimeoutError):
                driver.close(self._device)
        driver.finalize()

    def _start(self, rate_hz: float) -> float:
        """The rate that there will be."""
        driver, device = self._driver, self._device
        driver.open(device)
        if "js110" in device.lower():
            driver.publish(f"{device}/s/i/range/select", "auto")
            driver.subscribe(f"{device}/s/sstats/value", "pub", self._callback)
            return JS110_RATE_HZ
        driver.publish(f"{device}/s/i/range/mode", "auto")
        samples = round(SAMPLES_PER_S / rate_hz)
        driver.publish(f"{device}/s/stats/scnt", samples)
        driver.publish(f"{device}/s/stats/ctrl", 1)
        driver.subscribe(f"{device}/s/stats/value", "pub", self._callback)
        return SAMPLES_PER_S / samples

    def _receive(self, _topic: str, value: Message) -> None:
        # Where nobody reads for long, the oldest are kept; the gap is seen after them.
        with contextlib.suppress(queue.Full):
            self._messages.put_nowait((time.monotonic_ns(), value))


def chosen_device(paths: list[str], serial: str) -> str:
    """The one whose path ("u/js220/000123") ends in the serial number; the only one for "".

    Raises MeterError.
    """
    found = [path for path in paths if not serial or path.rpartition("/")[2].lower() == serial.lower()]
    connected = ", ".join(path.rpartition("/")[2] for path in paths)
    if not paths:
        raise MeterError(
            "meter_unreachable",
            "no Joulescope is connected, or its udev rule (72-joulescope.rules) is not installed",
        )
    if not found:
        raise MeterError("meter_unreachable", f"no Joulescope {serial} is connected; there are {connected}")
    if len(found) > 1:
        raise MeterError("meter_unreachable", f"say which Joulescope, as joulescope:SERIAL: {connected}")
    return found[0]


def prepare(spec: Spec, _board: BoardRoot) -> Callable[[], Meter]:
    spec.number("rate_hz", RATE_HZ, 0.1, MAX_RATE_HZ)
    return lambda: JoulescopeMeter(spec, _driver(spec))


def _driver(spec: Spec) -> Any:
    """Raises MeterError."""
    try:
        from pyjoulescope_driver import Driver
    except ImportError:
        raise MeterError(
            "meter_unreachable",
            f"{spec.name} needs pyjoulescope_driver: pip install 'edgemeter-agent[joulescope]'",
        ) from None
    try:
        return Driver()
    except (RuntimeError, TimeoutError, OSError) as error:
        raise MeterError("meter_unreachable", f"{spec.name}: {error}") from None
