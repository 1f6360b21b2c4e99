"""`edgemeter-agent meter calibrate`: sets a meter right by a better one, or by loads that are known."""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import sys
import time
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.cli import meter_option
from edgemeter_agent.cli.meter_option import MILLIWATT
from edgemeter_agent.failure import AgentError
from edgemeter_agent.meters import Meter, MeterError, Unusable, busy, calibration, registry
from edgemeter_agent.meters.calibration import Calibration, Point
from edgemeter_agent.meters.comparing import Mean, means_of, point_of, settling_s
from edgemeter_agent.meters.rails import rectangular

DURATION_S = 30.0
LOAD_ERROR_PERCENT = 1.0

EXAMPLE = """example:
  edgemeter-agent meter calibrate --reference shelly:192.168.1.20
  edgemeter-agent meter calibrate --meter ina3221 --load-w 5 --load-w 15
  edgemeter-agent meter calibrate --meter pmic --point 2.41=3.3 --point 6.12=7.6"""


def add_parser(subparsers: Any) -> None:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "calibrate",
        help="set a meter right by a better one, or by known loads",
        description="Finds gain and offset of a meter, and keeps them in the state directory: every later "
        "reading of that meter is corrected by them. With --reference both meters are read at the same time, "
        "first with the board idle, then with all of its processors busy: let nothing else run.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    meter_option.add_to(parser, "the meter to calibrate (default: the one that covers most)")
    by = parser.add_mutually_exclusive_group(required=True)
    by.add_argument("--reference", metavar="NAME|SPEC", help="the better meter")
    by.add_argument(
        "--load-w",
        type=meter_option.positive,
        action="append",
        metavar="W",
        help="a known load; asks to set it, then reads the meter (may be repeated)",
    )
    by.add_argument(
        "--point",
        type=_point,
        action="append",
        metavar="READ_W=LOAD_W",
        help="what the meter read at a known load, measured before (may be repeated)",
    )
    parser.add_argument(
        "--duration",
        type=meter_option.positive,
        default=DURATION_S,
        metavar="S",
        help="seconds to read at each load (default: 30)",
    )
    parser.add_argument(
        "--load-error",
        type=meter_option.positive,
        default=LOAD_ERROR_PERCENT,
        metavar="PERCENT",
        help="how far a known load may be off (default: 1)",
    )


def run(args: argparse.Namespace, board: BoardRoot | None = None) -> int:
    """0. Raises AgentError, MeterError and CalibrationError."""
    folder = meter_option.calibrations_dir(args)
    names = [args.meter, args.reference] if args.reference else [args.meter]
    if args.reference and args.reference == args.meter:
        raise AgentError("a meter can't be its own reference: name another one with --reference")
    # The meter as it is, not as it was corrected before.
    with meter_option.opened(board or BoardRoot(), names, None) as meters:
        meter = meters[0]
        name = meter.description.name
        if args.reference:
            known = _by_reference(meter, _corrected(meters[1], folder), args.duration)
        else:
            known = _by_loads(meter, args)
    try:
        path = calibration.save(folder, name, known)
    except OSError as error:
        raise AgentError(f"cannot keep the calibration in {folder}: {error.strerror}") from error
    if args.json:
        print(json.dumps({"meter": name, **asdict(known), "path": str(path)}, indent=2))
    else:
        print(as_text(name, known, path))
    return 0


def as_text(name: str, known: Calibration, path: Path) -> str:
    zero = (
        "the zero is not known from one load"
        if known.offset_uncertainty_mw is None
        else f"offset {known.offset_mw:+.1f} mW +- {known.offset_uncertainty_mw:.1f} mW"
    )
    loads = "1 load" if known.points == 1 else f"{known.points} loads"
    return (
        f"{name}: gain {known.gain:.4f} +- {known.gain_uncertainty:.4f}, {zero} (standard uncertainties)\n"
        f"from {loads}, by {known.reference}; kept in {path}"
    )


def _by_reference(meter: Meter, reference: Meter, duration_s: float) -> Calibration:
    said, better = meter.description, reference.description
    if said.name == better.name:
        raise AgentError(f"meter {said.name} can't be its own reference: name another one with --reference")
    points: list[Point] = []
    loads = ((contextlib.nullcontext(), "idle"), (busy.all_processors(), "all processors busy"))
    for load, what in loads:
        with load:
            settle_s = settling_s(said, better)
            _tell(f"{what}: {settle_s + duration_s:.0f} s")
            time.sleep(settle_s)
            read, by_reference = means_of([meter, reference], duration_s)
        _tell(f"  {said.name} {_watts(read)}, {better.name} {_watts(by_reference)}")
        points.append(point_of(read, by_reference))
    return calibration.fit(
        points,
        reference=f"meter {better.name}",
        made_at=_now(),
        coverage=better.coverage,
        reference_gain_error=better.gain_error,
        reference_offset_error_mw=better.offset_error_mw,
    )


def _by_loads(meter: Meter, args: argparse.Namespace) -> Calibration:
    said = meter.description
    if args.point:
        step_mw = max(said.resolution_mw / math.sqrt(12), 1e-3)
        points = [
            Point(reference_mw=load_w * MILLIWATT, read_mw=read_w * MILLIWATT, uncertainty_mw=step_mw)
            for read_w, load_w in args.point
        ]
    else:
        points = [_at_load(meter, load_w, args) for load_w in args.load_w]
    if len(points) == 1:
        # One load does not tell the zero from the gain.
        (only,) = points
        uncertainty_mw = math.hypot(only.uncertainty_mw, said.offset_error_mw)
        points = [Point(reference_mw=only.reference_mw, read_mw=only.read_mw, uncertainty_mw=uncertainty_mw)]
    return calibration.fit(
        points,
        reference="known loads",
        made_at=_now(),
        reference_gain_error=rectangular(args.load_error / 100),
    )


def _at_load(meter: Meter, load_w: float, args: argparse.Namespace) -> Point:
    if len(args.load_w) > 1:
        _tell(f"set the load to {load_w:g} W, then press Enter")
        if not sys.stdin.readline():
            raise AgentError("nobody set the load: the input ended; with one --load-w nothing is asked")
    time.sleep(settling_s(meter.description))
    (read,) = means_of([meter], args.duration)
    _tell(f"  {meter.description.name} {_watts(read)}")
    return Point(reference_mw=load_w * MILLIWATT, read_mw=read.power_mw, uncertainty_mw=read.uncertainty_mw)


def _corrected(reference: Meter, folder: Path) -> Meter:
    corrected = registry.with_calibration(reference, folder)
    if isinstance(corrected, Unusable):
        raise MeterError(
            "meter_unusable", f"meter {corrected.name} can't be the reference: {corrected.reason}"
        )
    return corrected


def _point(text: str) -> tuple[float, float]:
    read_w, equals, load_w = text.partition("=")
    try:
        values = float(read_w), float(load_w)
    except ValueError:
        values = math.nan, math.nan
    if not (equals and all(math.isfinite(value) for value in values)):
        raise argparse.ArgumentTypeError(f"{text!r} is not READ_W=LOAD_W, two numbers of watts")
    return values


def _watts(mean: Mean) -> str:
    return f"{mean.power_mw / MILLIWATT:.3f} W"


def _tell(line: str) -> None:
    """On the error stream: what is printed is the result."""
    print(line, file=sys.stderr, flush=True)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
