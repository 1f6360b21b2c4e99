"""`edgemeter-agent meter`: the power meters of this board and those wired or linked to it."""

from __future__ import annotations

import argparse
import importlib
from typing import Any

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.failure import AgentError
from edgemeter_agent.meters import MeterError
from edgemeter_agent.meters.calibration import CalibrationError

ACTIONS = {
    "ls": "meter_ls",
    "watch": "meter_watch",
    "calibrate": "meter_calibrate",
    "serve": "meter_serve",
}
"""Name -> module of this package, with `add_parser(subparsers)` and `run(args) -> int`."""

EXAMPLE = """example:
  edgemeter-agent meter ls
  edgemeter-agent meter watch --duration 10
  edgemeter-agent meter calibrate --reference shelly:192.168.1.20"""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "meter",
        help="list power meters, watch, calibrate or serve one",
        description="Lists the power meters that this board can read, shows live power, calibrates a meter, "
        "serves one to other boards.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for module in ACTIONS.values():
        _module(module).add_parser(actions)
    return parser


def run(args: argparse.Namespace, board: BoardRoot | None = None) -> int:
    """Raises AgentError."""
    action = _module(ACTIONS[args.action])
    try:
        return int(action.run(args) if board is None else action.run(args, board))
    except MeterError as error:
        raise AgentError(error.detail) from error
    except CalibrationError as error:
        raise AgentError(str(error)) from error


def _module(name: str) -> Any:
    return importlib.import_module(f"edgemeter_agent.cli.{name}")
