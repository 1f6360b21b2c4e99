"""A meter served by a process whose clock is another: CLOCK_MONOTONIC shifted, and too fast or slow.

    python -m tests.integration.agent.meters.shifted_server OFFSET_NS DRIFT TOKEN [FAIL_AFTER]

Prints its port. The power is 1 W for each second of this machine's CLOCK_MONOTONIC, modulo 1000: whoever
reads it can tell when, by the true clock, a reading was made.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator

from edgemeter_agent.meters import Description, MeterError, Rail, Reading
from edgemeter_agent.meters.meter_server import MeterServer

RATE_HZ = 200.0
MODULUS_NS = 1000 * 1_000_000_000


class ClockMeter:
    """See meters.Meter."""

    alignment_ns = 1000.0

    def __init__(self, offset_ns: int, drift: float, fail_after: int) -> None:
        self.offset_ns, self.drift, self.fail_after = offset_ns, drift, fail_after
        self.begun_ns = time.monotonic_ns()
        self.description = Description(
            name="clock",
            kind="clock",
            coverage="wall",
            rails=(Rail(name="A", in_total=True),),
            rate_hz=RATE_HZ,
            resolution_mw=1e-6,
            gain_error=0.001,
            offset_error_mw=0.5,
            lag_s=0.25,
            has_counter=True,
            detail="a clock",
        )

    def shifted(self, true_ns: int) -> int:
        return true_ns + self.offset_ns + round(self.drift * (true_ns - self.begun_ns))

    def readings(self, stop: threading.Event) -> Iterator[Reading]:
        count = 0
        while not stop.wait(1 / RATE_HZ):
            count += 1
            if self.fail_after and count > self.fail_after:
                raise MeterError("meter_gone", "the clock has stopped")
            true_ns = time.monotonic_ns()
            stamp_ns = self.shifted(true_ns)
            if count % 50 == 0:
                yield Reading(monotonic_ns=stamp_ns, total_mw=None, fault="EAGAIN")
                continue
            power_mw = true_ns % MODULUS_NS / 1e6
            yield Reading(monotonic_ns=stamp_ns, total_mw=power_mw, rails_mw=(None,), counter_uj=float(count))

    def close(self) -> None:
        """Nothing is held."""


def main() -> None:
    offset_ns, drift, token = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    meter = ClockMeter(offset_ns, drift, int(sys.argv[4]) if len(sys.argv) > 4 else 0)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        server = MeterServer(meter, listener, token, clock_ns=lambda: meter.shifted(time.monotonic_ns()))
        try:
            server.serve(threading.Event())
        except MeterError as error:
            sys.exit(error.detail)


if __name__ == "__main__":
    main()
