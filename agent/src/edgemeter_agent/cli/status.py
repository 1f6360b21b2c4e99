"""`edgemeter-agent status`: whom this board has joined, and what waits to be reported."""

from __future__ import annotations

import argparse
import json
import os
import sqlite3

from edgemeter_agent import identity
from edgemeter_agent.cli import state_option
from edgemeter_agent.spool import pending_attempts
from edgemeter_agent.state_dir import StateDir, state_root


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "status",
        help="say whom this board has joined, and what waits to be reported",
        epilog="example: edgemeter-agent status --json",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    state_option.add_to(parser)


def run(args: argparse.Namespace) -> int:
    """0 where this board has joined, else 1. Raises AgentError."""
    state_dir = StateDir(state_root(args.state_dir, os.environ))
    joined = identity.load(state_dir.identity_path)
    running_pid = state_dir.holder()
    try:
        held = [str(attempt) for attempt in pending_attempts(state_dir.spool_dir)]
    except sqlite3.Error as error:
        held = [f"unreadable: {error}"]
    facts = {
        "state_dir": str(state_dir.root),
        "joined": joined is not None,
        "device_id": joined.device_id if joined else None,
        "name": joined.name if joined else None,
        "coordinator": joined.fleet_address if joined else None,
        "running_pid": int(running_pid) if running_pid and running_pid.isdigit() else None,
        "held_attempts": held,
    }
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        for name, value in facts.items():
            shown = ", ".join(value) or "none" if isinstance(value, list) else value
            print(f"{name.replace('_', ' '):14} {'none' if shown is None else shown}")
    return 0 if joined else 1
