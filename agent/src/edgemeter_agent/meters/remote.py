"""`remote:HOST:PORT?token=…`: a meter that another host serves with `edgemeter-agent meter serve`.

Its stamps come in the other host's clock and are handed on in this board's. The two clocks are compared
before the readings, every few seconds during them, and after them; see `alignment`. What was not known when a
reading was handed on is found by the later comparisons and stated in `alignment_ns`.

A connection that broke is not made again: what was missed would be missing from the energy.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from threading import Event

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import Meter, MeterError, Reading
from edgemeter_agent.meters.address import join_address, split_address
from edgemeter_agent.meters.alignment import EXCHANGES, Alignment, Exchange, align, best_of
from edgemeter_agent.meters.line_reader import LineReader
from edgemeter_agent.meters.remote_lines import (
    ALLOWED_CHARACTERS,
    ANYBODY,
    MAX_SERVER_LINE_BYTES,
    VERSION,
    BadLine,
    decode_end,
    decode_hello,
    decode_reading,
    decode_times,
    is_token,
)
from edgemeter_agent.meters.spec import Spec

TIMEOUT_S = 5.0
"""A server that leaves a question open for so long is gone."""
COMPARE_EVERY_S = 5.0
MAX_BURSTS = 256
"""Comparisons that the line is laid through: 21 minutes of them. A crystal's drift is not the same for
hours."""
NOTE_EVERY_NS = 200_000_000
MAX_NOTED = 9000
_POLL_S = 0.1


class RemoteMeter:
    """See meters.Meter and alignment.AlignedMeter."""

    def __init__(
        self,
        spec: Spec,
        address: tuple[str, int],
        token: str,
        *,
        timeout_s: float = TIMEOUT_S,
        compare_every_s: float = COMPARE_EVERY_S,
    ) -> None:
        """Connects, and compares the clocks once. Raises MeterError."""
        self._name = f"remote:{join_address(*address)}"
        self._timeout_s = timeout_s
        self._compare_every_s = compare_every_s
        # Whoever computes energy may ask for the alignment while the sampler's thread reads on.
        self._lock = threading.Lock()
        self._kept: deque[Exchange] = deque(maxlen=MAX_BURSTS)
        self._noted: deque[tuple[int, int]] = deque(maxlen=MAX_NOTED)
        """(there, here) of readings, as they were handed on."""
        self._burst: list[Exchange] = []
        self._asked_ns: int | None = None
        self._last_ns = 0
        try:
            self._socket = socket.create_connection(address, timeout_s)
        except OSError as error:
            words = "no answer" if isinstance(error, TimeoutError) else (error.strerror or str(error)).lower()
            raise MeterError(
                "meter_unreachable",
                f"{self._name}: {words}; is `edgemeter-agent meter serve` running there?",
            ) from None
        try:
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Reading waits by poll; sending must not wait for ever either.
            self._socket.settimeout(timeout_s)
            self._lines = LineReader(self._socket.fileno(), MAX_SERVER_LINE_BYTES)
            self._greet(spec, token)
            self._compare()
        except BaseException:
            self.close()
            raise

    @property
    def alignment(self) -> Alignment:
        """By everything that was compared until now. Its residual holds for the readings handed on."""
        with self._lock:
            kept, noted = tuple(self._kept), tuple(self._noted)
        return align(kept, noted)

    @property
    def alignment_ns(self) -> float:
        """Standard uncertainty of the stamps: of the alignment, of what may drift until the clocks are
        compared the next time, and of the meter on its own host. Asked early it is larger than it turns out
        to be."""
        found = self.alignment
        until_next_ns = 1e9 * self._compare_every_s * found.drift_uncertainty
        return math.hypot(found.residual_ns, until_next_ns, self._own_alignment_ns)

    def readings(self, stop: Event) -> Iterator[Reading]:
        self._compare()
        self._send("start")
        streaming = True
        try:
            compare_at_s = time.monotonic() + self._compare_every_s
            while not stop.is_set():
                if time.monotonic() >= compare_at_s:
                    self._ask()
                    compare_at_s = math.inf
                line = self._line(_POLL_S)
                if line is None:
                    continue
                if not line.startswith("time "):
                    yield self._reading(line)
                elif self._exchanged(line):
                    compare_at_s = time.monotonic() + self._compare_every_s
        except MeterError:
            streaming = False
            raise
        finally:
            if streaming:
                # The last comparison, without which the last seconds' drift would be a guess. Where the
                # connection breaks now, the readings were handed on all the same.
                with contextlib.suppress(MeterError):
                    self._send("stop")
                    self._compare()

    def close(self) -> None:
        self._socket.close()

    def _greet(self, spec: Spec, token: str) -> None:
        self._send(f"hello {VERSION} {token or ANYBODY}")
        line = self._line(self._timeout_s)
        if line is None:
            raise MeterError("meter_unreachable", f"{self._name}: it does not answer; is it a meter?")
        try:
            described, self._own_alignment_ns = decode_hello(line)
        except BadLine as error:
            raise self._rubbish(str(error)) from None
        self._rails = len(described.rails)
        description = dataclasses.replace(
            described, kind="remote", detail=f"{described.name} at {self._name}: {described.detail}"
        )
        self.description = spec.described(description)

    def _compare(self) -> None:
        """A whole burst; readings that are still on their way are passed over. Raises MeterError."""
        self._burst, self._asked_ns = [], None
        self._ask()
        while True:
            line = self._line(self._timeout_s)
            if line is not None and line.startswith("time ") and self._exchanged(line):
                return

    def _ask(self) -> None:
        self._asked_ns = time.monotonic_ns()
        self._send(f"time {self._asked_ns}")

    def _exchanged(self, line: str) -> bool:
        """Takes an answer and asks again; True after the last one of a burst. Raises MeterError."""
        try:
            t1_ns, t2_ns, t3_ns = decode_times(line, 3)
            if t1_ns != self._asked_ns:
                # The answer to a burst that was broken off.
                return False
            self._asked_ns = None
            self._burst.append(Exchange(t1_ns=t1_ns, t2_ns=t2_ns, t3_ns=t3_ns, t4_ns=self._lines.received_ns))
            if len(self._burst) < EXCHANGES:
                self._ask()
                return False
            burst, self._burst = self._burst, []
            best = best_of(burst)
            with self._lock:
                self._kept.append(best)
        except (BadLine, ValueError) as error:
            raise self._rubbish(str(error)) from None
        self._line_through = align(self._kept)
        return True

    def _reading(self, line: str) -> Reading:
        """Raises MeterError."""
        try:
            reading = decode_reading(line, self._rails)
        except BadLine as error:
            raise self._rubbish(str(error)) from None
        here_ns = self._line_through.to_local_ns(reading.monotonic_ns)
        if reading.total_mw is not None:
            if not self._noted or reading.monotonic_ns - self._noted[-1][0] >= NOTE_EVERY_NS:
                with self._lock:
                    self._noted.append((reading.monotonic_ns, here_ns))
            # A comparison may put the clock back by less than a reading; their order is the meter's.
            here_ns = self._last_ns = max(here_ns, self._last_ns + 1)
        return dataclasses.replace(reading, monotonic_ns=here_ns)

    def _send(self, line: str) -> None:
        try:
            self._socket.sendall(f"{line}\n".encode())
        except OSError as error:
            raise self._gone((error.strerror or str(error)).lower()) from None

    def _line(self, timeout_s: float) -> str | None:
        """Raises MeterError also where a question has been open for too long."""
        try:
            line = self._lines.line(timeout_s)
        except EOFError as error:
            raise self._gone(str(error).lower() or "the server closed the connection") from None
        except ValueError as error:
            raise self._rubbish(str(error)) from None
        if line is None:
            # Whoever takes readings slowly finds a late answer among the lines that came in meanwhile.
            if self._asked_ns is not None and time.monotonic_ns() - self._asked_ns > self._timeout_s * 1e9:
                raise self._gone(f"the server has not answered for {self._timeout_s:g} s")
            return None
        text = line.decode("ascii", errors="replace")
        for kind in ("gone", "refused"):
            end = decode_end(text, kind)
            if end is not None:
                raise MeterError(end[0], f"{self._name}: {end[1] or kind}")
        return text

    def _gone(self, what: str) -> MeterError:
        return MeterError("meter_gone", f"{self._name}: {what}")

    def _rubbish(self, what: str) -> MeterError:
        return MeterError("meter_rubbish", f"{self._name} is no meter of this version: {what}")


def prepare(spec: Spec, _board: BoardRoot) -> Callable[[], Meter]:
    try:
        address = split_address(spec.target)
    except ValueError as error:
        raise spec.wrong(str(error)) from None
    token = spec.options.get("token", "")
    if token and not is_token(token):
        raise spec.wrong(f"a token has {ALLOWED_CHARACTERS}")
    return lambda: RemoteMeter(spec, address, token)
