"""`edgemeter-agent run`: the agent itself."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sqlite3
import sys
from types import FrameType

from edgemeter_agent import identity
from edgemeter_agent.cli import state_option
from edgemeter_agent.facts_process import read_facts_apart
from edgemeter_agent.failure import AgentError
from edgemeter_agent.interpreter import module_command
from edgemeter_agent.state_dir import StateDir, state_root

LEVELS = ("debug", "info", "warning", "error")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "run",
        help="stay attached to the coordinator and work off its jobs",
        description="Stays attached to the coordinator that this board has joined, and works off its jobs. "
        "SIGTERM ends it cleanly.",
        epilog="example: edgemeter-agent run --log-level debug",
    )
    parser.add_argument("--log-level", choices=LEVELS, default="info", help="how much is said on stderr")
    parser.add_argument(
        "--allow-exec-meters",
        action="store_true",
        help="run programs as power meters (exec:PROGRAM) that users of the coordinator attach to this board",
    )
    state_option.add_to(parser)


def run(args: argparse.Namespace) -> int:
    """0 when it was asked to stop. Raises AgentError."""
    from edgemeter_agent.link.driver import Link

    logging.basicConfig(
        stream=sys.stderr, level=args.log_level.upper(), format="%(asctime)s %(levelname)s %(message)s"
    )
    state_dir = StateDir(state_root(args.state_dir, os.environ))
    joined = identity.load(state_dir.identity_path)
    if joined is None:
        raise AgentError(
            f"this board has not joined a coordinator ({state_dir.identity_path} is not there): "
            "paste the line that `edgemeter token new` prints"
        )
    with state_dir.locked():
        try:
            link = Link(
                identity=joined,
                state_dir=state_dir,
                facts=read_facts_apart(),
                engine_command=module_command("edgemeter_agent.engine"),
                allow_exec_meters=args.allow_exec_meters,
            )
        except (OSError, sqlite3.Error) as error:
            raise AgentError(f"cannot use the state directory {state_dir.root}: {error}") from error

        def stop(number: int, _: FrameType | None) -> None:
            link.stop(f"stopped by {signal.Signals(number).name}")

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        logging.info("%s (device %s) dials %s", joined.name, joined.device_id, joined.fleet_address)
        return link.run()
