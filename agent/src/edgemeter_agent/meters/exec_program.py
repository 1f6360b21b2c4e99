"""`exec:PROGRAM ARGS`: any program that prints power, one reading a line:

    monotonic_ns watts

`monotonic_ns` is CLOCK_MONOTONIC of this board when it measured (Python: time.monotonic_ns(); C:
clock_gettime), a whole number that rises from line to line. `watts` is a decimal number.

Before its first reading the program may print header lines:

    # rails CPU GPU -DDR    each reading has a field a rail after `watts`, in watts, "-" for one that could
    # not
                            be read; a rail with a minus is no part of the total
    # counter_uj            each reading's last field is energy counted by the hardware, in microjoules

Other lines that begin with # are comments. Whatever else it prints ends the measurement: a program that
prints rubbish can't be believed in between. It must flush each line (Python: print(…, flush=True)).

The program runs in its own process group and is killed with it when the meter is closed. What it covers and
how exact it is, only its user knows: ?coverage=…&gain_error=…&offset_mw=…&lag_s=…&rate_hz=…&resolution_mw=…
"""

from __future__ import annotations

import math
import re
import shlex
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from threading import Event

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import Description, Meter, MeterError, Rail, Reading
from edgemeter_agent.meters.child_program import ChildProgram
from edgemeter_agent.meters.line_reader import LineReader
from edgemeter_agent.meters.spec import Spec

MAX_LINE_BYTES = 4096
MAX_RAILS = 32
MAX_WATTS = 1e6

START_TIMEOUT_S = 10.0
"""Until the first readings."""

READINGS_FOR_RATE = 3
MAX_AHEAD_NS = 100_000_000
"""A stamp so far in the future is of another clock."""
MAX_FIRST_AGE_NS = 60_000_000_000

NOT_STATED = "not stated by its user"
ASSUMED_GAIN_ERROR = 0.01
"""For a meter of which nothing is known; the detail says so."""

_POLL_S = 0.1
_STAMP = re.compile(r"\d{1,19}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


class Rubbish(Exception):
    """A line that is no reading: what is wrong with it."""


class LineParser:
    """What the lines mean, in their order. Pure."""

    def __init__(self) -> None:
        self.rails: tuple[Rail, ...] = ()
        self.has_counter = False
        self._last_ns: int | None = None

    def reading(self, line: str, now_ns: int) -> Reading | None:
        """The line's reading, None for a header, a comment or an empty line.

        A stamp that does not rise makes a fault. Raises Rubbish.
        """
        if line.startswith("#"):
            self._header(line[1:].split())
            return None
        fields = line.split()
        if not fields:
            return None
        expected = 2 + len(self.rails) + self.has_counter
        if len(fields) != expected:
            raise Rubbish(f"{len(fields)} fields instead of {expected}")
        if _STAMP.fullmatch(fields[0]) is None:
            raise Rubbish("its first field is no count of nanoseconds")
        stamp_ns = int(fields[0])
        watts = _number(fields[1])
        rails_mw = tuple(
            None if field == "-" else 1000 * _number(field) for field in fields[2 : 2 + len(self.rails)]
        )
        counter_uj = _number(fields[-1], math.inf) if self.has_counter else None
        self._check_clock(stamp_ns, now_ns)
        if self._last_ns is not None and stamp_ns <= self._last_ns:
            return Reading(monotonic_ns=now_ns, total_mw=None, fault="stamp_backwards")
        self._last_ns = stamp_ns
        return Reading(monotonic_ns=stamp_ns, total_mw=1000 * watts, rails_mw=rails_mw, counter_uj=counter_uj)

    def _header(self, words: Sequence[str]) -> None:
        if not words or words[0] not in ("rails", "counter_uj"):
            return
        if self._last_ns is not None:
            raise Rubbish("a header after the first reading")
        if words[0] == "counter_uj":
            self.has_counter = True
            return
        names = [word.removeprefix("-") for word in words[1:]]
        if not 0 < len(names) <= MAX_RAILS or len(set(names)) != len(names) or "" in names:
            raise Rubbish(f"rails must have 1 to {MAX_RAILS} names that differ")
        self.rails = tuple(
            Rail(name=name, in_total=not word.startswith("-"))
            for name, word in zip(names, words[1:], strict=True)
        )

    def _check_clock(self, stamp_ns: int, now_ns: int) -> None:
        ahead_ns = stamp_ns - now_ns
        if ahead_ns > MAX_AHEAD_NS or (self._last_ns is None and -ahead_ns > MAX_FIRST_AGE_NS):
            raise Rubbish(
                f"its stamp is {abs(ahead_ns) / 1e9:.3g} s {'ahead' if ahead_ns > 0 else 'old'};"
                " it must be this board's CLOCK_MONOTONIC"
            )


def _number(field: str, limit: float = MAX_WATTS) -> float:
    """Raises Rubbish. float() alone also takes nan, inf and 1_0."""
    value = float(field) if _NUMBER.fullmatch(field) else math.nan
    if not abs(value) < limit:
        raise Rubbish(f"{field[:40]!r} is no number below {limit:g}")
    return value


class ExecMeter:
    """See meters.Meter."""

    def __init__(self, spec: Spec, words: Sequence[str]) -> None:
        """Raises MeterError where the program can't be started or gives no readings within 10 s."""
        self._name = spec.name
        self._parser = LineParser()
        self._line_number = 0
        self._program = ChildProgram(words, f"exec:{spec.target}")
        self._lines = LineReader(self._program.stdout_fd, MAX_LINE_BYTES)
        try:
            self._waiting = self._first_readings(READINGS_FOR_RATE if "rate_hz" not in spec.options else 1)
        except BaseException:
            self._program.close()
            raise
        parser = self._parser
        unstated = "" if "gain_error" in spec.options else f"; gain error {NOT_STATED}: 1 % assumed"
        self.description = spec.described(
            Description(
                name=spec.name,
                kind="exec",
                coverage=NOT_STATED,
                rails=parser.rails,
                rate_hz=spec.number("rate_hz", _rate_hz(self._waiting), 1e-3, 1e6),
                resolution_mw=spec.number("resolution_mw", 1.0, 0, 1e6),
                gain_error=ASSUMED_GAIN_ERROR,
                offset_error_mw=0.0,
                lag_s=0.0,
                has_counter=parser.has_counter,
                detail=f"lines of {shlex.join(words)}{unstated}",
            )
        )

    def readings(self, stop: Event) -> Iterator[Reading]:
        while not stop.is_set():
            reading = self._waiting.popleft() if self._waiting else self._next(_POLL_S)
            if reading is not None:
                yield reading

    def close(self) -> None:
        self._program.close()

    def _first_readings(self, wanted: int) -> deque[Reading]:
        due_s = time.monotonic() + START_TIMEOUT_S
        found: deque[Reading] = deque()
        while len(found) < wanted:
            left_s = due_s - time.monotonic()
            if left_s <= 0:
                raise MeterError(
                    "meter_unreachable",
                    f"{self._name} printed {len(found)} of {wanted} readings in {START_TIMEOUT_S:g} s;"
                    " it must flush each line"
                    + ("" if wanted == 1 else ", and a slow one needs ?rate_hz=READINGS_A_SECOND"),
                )
            reading = self._next(min(left_s, _POLL_S))
            if reading is not None:
                found.append(reading)
        return found

    def _next(self, timeout_s: float) -> Reading | None:
        """None where no reading came in time. Raises MeterError."""
        try:
            line = self._lines.line(timeout_s)
        except EOFError:
            raise MeterError("meter_gone", f"{self._name} {self._program.how_it_ended()}") from None
        except ValueError as error:
            raise self._rubbish(self._line_number + 1, str(error)) from None
        if line is None:
            return None
        self._line_number += 1
        text = line.decode("utf-8", errors="replace")
        try:
            return self._parser.reading(text, time.monotonic_ns())
        except Rubbish as error:
            shown = text if len(text) <= 80 else f"{text[:80]}…"
            raise self._rubbish(self._line_number, f"{error}: {shown!r}") from None

    def _rubbish(self, line_number: int, what: str) -> MeterError:
        return MeterError("meter_rubbish", f"{self._name}, line {line_number}: {what}")


def _rate_hz(readings: Iterable[Reading]) -> float:
    """Readings a second by the median spacing of their stamps; 1 where there are too few."""
    stamps = [reading.monotonic_ns for reading in readings if reading.total_mw is not None]
    gaps_ns = [after - before for before, after in pairwise(stamps)]
    return min(max(1e9 / statistics.median(gaps_ns), 1e-3), 1e6) if gaps_ns else 1.0


def prepare(spec: Spec, _board: BoardRoot) -> Callable[[], Meter]:
    try:
        words = shlex.split(spec.target)
    except ValueError as error:
        raise spec.wrong(f"{str(error).lower()}") from None
    if not words or not words[0]:
        raise spec.wrong("no program")
    spec.number("rate_hz", 1, 1e-3, 1e6)
    spec.number("resolution_mw", 1, 0, 1e6)
    return lambda: ExecMeter(spec, words)
