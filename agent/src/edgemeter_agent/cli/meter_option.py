"""The options of `edgemeter-agent meter`, the same wherever they are, and the meter that they mean."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.cli import state_option
from edgemeter_agent.failure import AgentError
from edgemeter_agent.meters import Meter, registry
from edgemeter_agent.state_dir import StateDir, state_root

MILLIWATT = 1000
"""In a watt."""


def add_to(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds --meter, --json and --state-dir."""
    parser.add_argument("--meter", metavar="NAME|SPEC", default="", help=what)
    parser.add_argument("--json", action="store_true", help="print JSON")
    state_option.add_to(parser)


def specs_of(*names: str) -> list[str]:
    """Those that mean external meters: a name of a meter on the board has no colon."""
    return list(dict.fromkeys(name for name in names if ":" in name))


def calibrations_dir(args: argparse.Namespace) -> Path:
    return StateDir(state_root(args.state_dir, os.environ)).calibrations_dir


@contextlib.contextmanager
def opened(board: BoardRoot, names: Sequence[str], calibrations_dir: Path | None) -> Iterator[list[Meter]]:
    """The meters of these names, "" for the widest; closed afterwards.

    Raises AgentError where there is none and MeterError where one can't be used.
    """
    found = registry.find(board, specs_of(*names), calibrations_dir)
    try:
        yield [_chosen(found, name, names) for name in names]
    finally:
        registry.close(found)


def _chosen(found: Sequence[registry.Found], name: str, names: Sequence[str]) -> Meter:
    if not name:
        # The widest of those that are not asked for as something else.
        found = [each for each in found if registry.name_of(each) not in {*map(registry.name_of_spec, names)}]
    meter = registry.choose(found, name)
    if meter is None:
        why = registry.why_none(found)
        raise AgentError(
            f"no meter on this board{f' ({why})' if why else ''}; name an external one with --meter SPEC"
        )
    return meter


def positive(text: str) -> float:
    """A type for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0")
    return value
