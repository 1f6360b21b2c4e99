"""The command `edgemeter-agent`.

A command's module is imported only when it is the one that was typed: `run` must stay small, and `bench`
and `doctor` know runtimes.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from edgemeter_agent.failure import AgentError

COMMANDS = {
    "join": "join a coordinator with a token",
    "run": "stay attached to the coordinator and work off its jobs",
    "bench": "measure a model on this board, without a coordinator",
    "doctor": "say what this board is, and what it can and cannot measure",
    "meter": "list power meters, watch, calibrate or serve one",
    "status": "say whom this board has joined, and what waits to be reported",
    "completion": "print the shell's completion script",
}
"""Name -> help. Each is a module of this package with `add_parser(subparsers)` and `run(args) -> int`."""

EXIT_INTERRUPTED = 130


def parser_for(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser, complete for the command that `arguments` name."""
    parser = argparse.ArgumentParser(
        prog="edgemeter-agent",
        description="Measures models on this board, for a coordinator or by itself.",
        epilog="example: edgemeter-agent doctor",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and end")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    typed = next((argument for argument in arguments if not argument.startswith("-")), None)
    for name, summary in COMMANDS.items():
        if name == typed:
            importlib.import_module(f"{__name__}.{name}").add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=summary)
    return parser


class _Version(argparse.Action):
    """Reading the version costs 3 MB of modules, which only the one who asks shall pay."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"edgemeter-agent {version('edgemeter-agent')}")
        parser.exit()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parsed = parser_for(arguments).parse_args(arguments)
    module = importlib.import_module(f"{__name__}.{parsed.command}")
    try:
        return int(module.run(parsed))
    except AgentError as error:
        print(f"edgemeter-agent: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
