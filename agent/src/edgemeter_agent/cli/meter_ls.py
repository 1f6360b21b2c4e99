"""`edgemeter-agent meter ls`: every meter, what it covers and how well, and why one can't be used."""

from __future__ import annotations

import argparse
import json
from typing import Any

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.cli import meter_option
from edgemeter_agent.meters import Meter, Unusable, registry
from edgemeter_agent.meters.calibration import Calibrated

NONE = "no meter on this board; name an external one: edgemeter-agent meter ls --meter SPEC"

EXAMPLE = """example:
  edgemeter-agent meter ls
  edgemeter-agent meter ls --meter shelly:192.168.1.20 --json"""


def add_parser(subparsers: Any) -> None:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "ls",
        help="list the meters, the widest coverage first",
        description="Lists the meters of this board, the widest coverage first: the first is what is read "
        "unless another is named.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    meter_option.add_to(parser, "list this one only; an external meter by its spec")


def run(args: argparse.Namespace, board: BoardRoot | None = None) -> int:
    """0, also where there is no meter. Raises MeterError where the one named is not there."""
    found = registry.find(
        board or BoardRoot(), meter_option.specs_of(args.meter), meter_option.calibrations_dir(args)
    )
    try:
        chosen = registry.choose(found, args.meter) if args.meter else None
        shown = [chosen] if chosen else found
        if args.json:
            print(json.dumps([as_json(each) for each in shown], indent=2))
        else:
            print("\n\n".join(as_text(each) for each in shown) or NONE)
    finally:
        registry.close(found)
    return 0


def as_json(each: Meter | Unusable) -> dict[str, Any]:
    if isinstance(each, Unusable):
        return {"name": each.name, "usable": False, "reason": each.reason}
    said = each.description
    known = each.calibration if isinstance(each, Calibrated) else None
    return {
        "name": said.name,
        "usable": True,
        "kind": said.kind,
        "coverage": said.coverage,
        "rails": [{"name": rail.name, "in_total": rail.in_total} for rail in said.rails],
        "rate_hz": said.rate_hz,
        "resolution_mw": said.resolution_mw,
        "gain_error": said.gain_error,
        "offset_error_mw": said.offset_error_mw,
        "lag_s": said.lag_s,
        "has_counter": said.has_counter,
        "detail": said.detail,
        "calibrated_gain": known.gain if known else None,
        "calibrated_offset_mw": known.offset_mw if known else None,
    }


def as_text(each: Meter | Unusable) -> str:
    if isinstance(each, Unusable):
        return f"{each.name}\n  can't be used: {each.reason}"
    said = each.description
    summed = [rail.name for rail in said.rails if rail.in_total]
    beside = [rail.name for rail in said.rails if not rail.in_total]
    aside = f"; beside it {', '.join(beside)}" if beside else ""
    lag = f"lag {said.lag_s:.3g} s" if said.lag_s else "no lag"
    counter = "counts energy itself" if said.has_counter else "no energy counter"
    lines = [
        said.name,
        f"  covers    {said.coverage}",
        f"  total     {' + '.join(summed) or 'one value'}{aside}",
        f"  readings  {said.rate_hz:.3g} a second, steps of {said.resolution_mw:.3g} mW, {lag}, {counter}",
        f"  accuracy  {said.gain_error:.2%} and {said.offset_error_mw:.3g} mW, standard uncertainty",
        f"  read by   {said.detail}",
    ]
    if isinstance(each, Calibrated):
        known = each.calibration
        lines.insert(-1, f"  corrected x {known.gain:.4f}, {known.offset_mw:+.1f} mW")
    return "\n".join(lines)
