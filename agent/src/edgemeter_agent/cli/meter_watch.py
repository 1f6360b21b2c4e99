"""`edgemeter-agent meter watch`: live power."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import statistics
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.cli import meter_option
from edgemeter_agent.cli.meter_option import MILLIWATT
from edgemeter_agent.meters import Description, Meter, Reading

RATE_HZ = 2.0
BAR_WIDTH = 30
CLEAR_LINE = "\r\x1b[K"

EXAMPLE = """example:
  edgemeter-agent meter watch
  edgemeter-agent meter watch --meter rapl --rate 10 --duration 60 --json"""


def add_parser(subparsers: Any) -> None:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "watch",
        help="show live power",
        description="Shows the mean power of each interval, until Ctrl-C or for a time. With --json, one "
        "object a line.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    meter_option.add_to(parser, "which meter (default: the one that covers most)")
    parser.add_argument(
        "--rate",
        type=meter_option.positive,
        default=RATE_HZ,
        metavar="HZ",
        help="lines a second (default: 2)",
    )
    parser.add_argument(
        "--duration", type=meter_option.positive, metavar="S", help="seconds to watch (default: until Ctrl-C)"
    )


def run(args: argparse.Namespace, board: BoardRoot | None = None) -> int:
    """0; 1 where no reading had a number. Raises AgentError and MeterError."""
    folder = meter_option.calibrations_dir(args)
    with meter_option.opened(board or BoardRoot(), [args.meter], folder) as (meter,):
        said = meter.description
        if not args.json:
            print(f"{said.name}: {said.coverage}; {said.detail}", flush=True)
        seen = Seen()
        show = _json_line if args.json else _text_line
        with _lines(args.json) as put:

            def emit(readings: Sequence[Reading]) -> None:
                seen.add(readings)
                put(show(said, readings, seen.most_mw))

            watch(meter, args.rate, args.duration, emit)
        if not args.json:
            print(seen.summary())
    return 0 if seen.count else 1


@dataclass
class Seen:
    """All readings so far, without keeping them."""

    count: int = 0
    sum_mw: float = 0.0
    least_mw: float = math.inf
    most_mw: float = -math.inf

    def add(self, readings: Sequence[Reading]) -> None:
        for reading in readings:
            if reading.total_mw is not None:
                self.count += 1
                self.sum_mw += reading.total_mw
                self.least_mw = min(self.least_mw, reading.total_mw)
                self.most_mw = max(self.most_mw, reading.total_mw)

    def summary(self) -> str:
        if not self.count:
            return "no reading had a number"
        return (
            f"mean {self.sum_mw / self.count / MILLIWATT:.3f} W, {self.least_mw / MILLIWATT:.3f} to "
            f"{self.most_mw / MILLIWATT:.3f} W, {self.count} readings"
        )


def watch(
    meter: Meter, rate_hz: float, duration_s: float | None, emit: Callable[[Sequence[Reading]], None]
) -> None:
    """Gives the readings of each interval to `emit`, until the time is over or somebody presses Ctrl-C.

    Raises MeterError.
    """
    stop = threading.Event()
    timer = threading.Timer(duration_s, stop.set) if duration_s else None
    period_ns = 1e9 / rate_hz
    pending: list[Reading] = []
    due_ns = -math.inf
    if timer:
        timer.daemon = True
        timer.start()
    try:
        for reading in meter.readings(stop):
            pending.append(reading)
            if reading.monotonic_ns >= due_ns:
                emit(pending)
                pending = []
                due_ns = max(due_ns + period_ns, reading.monotonic_ns + period_ns / 2)
            if stop.is_set():
                break
    except KeyboardInterrupt:
        pass
    finally:
        stop.set()
        if timer:
            timer.cancel()
    if pending:
        emit(pending)


def as_record(said: Description, readings: Sequence[Reading]) -> dict[str, Any]:
    """Means over the readings that have a number; null where none has."""
    good = [reading for reading in readings if reading.total_mw is not None]
    rails: dict[str, float | None] = {}
    for index, rail in enumerate(said.rails):
        # External meters may have rails in their description and none in a reading.
        column = [reading.rails_mw[index] for reading in good if index < len(reading.rails_mw)]
        known = [value for value in column if value is not None]
        rails[rail.name] = statistics.fmean(known) if known else None
    return {
        "monotonic_ns": readings[-1].monotonic_ns,
        "total_mw": statistics.fmean(reading.total_mw or 0.0 for reading in good) if good else None,
        "rails_mw": rails,
        "counter_uj": good[-1].counter_uj if good else None,
        "readings": len(good),
        "faults": dict(Counter(reading.fault for reading in readings if reading.total_mw is None)),
    }


def bar(power_mw: float, most_mw: float) -> str:
    filled = round(BAR_WIDTH * min(max(power_mw / most_mw, 0), 1)) if most_mw > 0 else 0
    return "#" * filled + "." * (BAR_WIDTH - filled)


def _json_line(said: Description, readings: Sequence[Reading], _most_mw: float) -> str:
    return json.dumps(as_record(said, readings))


def _text_line(said: Description, readings: Sequence[Reading], most_mw: float) -> str:
    record = as_record(said, readings)
    total_mw = record["total_mw"]
    if total_mw is None:
        line = "  no reading"
    else:
        rails = [
            f"{name} {value / MILLIWATT:.3f}"
            for name, value in record["rails_mw"].items()
            if value is not None and len(said.rails) > 1
        ]
        line = "  ".join([f"{total_mw / MILLIWATT:9.3f} W  {bar(total_mw, most_mw)}", *rails])
    faults = [f"{count} x {fault}" for fault, count in record["faults"].items()]
    return "  ".join([line, *faults])


@contextlib.contextmanager
def _lines(json_lines: bool) -> Iterator[Callable[[str], None]]:
    """Prints lines: one over the other in a terminal, else one below the other."""
    over = sys.stdout.isatty() and not json_lines

    def put(line: str) -> None:
        if over:
            width = os.get_terminal_size(sys.stdout.fileno()).columns
            print(f"{CLEAR_LINE}{line[: max(width - 1, 1)]}", end="", flush=True)
        else:
            print(line, flush=True)

    try:
        yield put
    finally:
        if over:
            print(flush=True)
