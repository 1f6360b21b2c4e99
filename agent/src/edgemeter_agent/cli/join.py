"""`edgemeter-agent join`: a token in, an identity out."""

from __future__ import annotations

import argparse
import os

from edgemeter_agent import identity, joining
from edgemeter_agent.cli import state_option
from edgemeter_agent.failure import AgentError
from edgemeter_agent.state_dir import StateDir, state_root

EXIT_PENDING = 3


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = subparsers.add_parser(
        "join",
        help="join a coordinator with a token",
        description="Joins a coordinator. `edgemeter token new` there prints the whole line to paste here.",
        epilog="example: edgemeter-agent join 192.168.1.10:7443 TOKEN --ca-fingerprint sha256:4f1c…",
    )
    parser.add_argument("address", metavar="HOST:PORT", help="where the coordinator lets boards join")
    parser.add_argument("token", metavar="TOKEN", help="the join token")
    parser.add_argument(
        "--ca-fingerprint",
        required=True,
        metavar="sha256:HEX",
        help="SHA-256 of the coordinator's CA certificate; the token is sent to no other",
    )
    parser.add_argument("--name", default="", help="this board's name; its host name unless given")
    parser.add_argument("--force", action="store_true", help="join anew where this board has joined before")
    state_option.add_to(parser)


def run(args: argparse.Namespace) -> int:
    """0 when joined, EXIT_PENDING when a person must approve the board first. Raises AgentError."""
    from edgemeter_agent.board.facts import read_facts

    host, port = joining.parse_address(args.address)
    fingerprint = joining.parse_fingerprint(args.ca_fingerprint)
    state_dir = StateDir(state_root(args.state_dir, os.environ))
    with state_dir.locked():
        if not args.force:
            _refuse_if_joined(state_dir)
        joined = joining.join(
            host=host,
            port=port,
            token=args.token,
            ca_fingerprint=fingerprint,
            name=args.name,
            facts=read_facts(),
        )
        if isinstance(joined, joining.Pending):
            print(f"{args.address} must approve this board first: device {joined.device_id} is pending")
            return EXIT_PENDING
        identity.save(joined, state_dir.identity_path)
    print(f"joined {args.address} as {joined.name} (device {joined.device_id})")
    print("next: edgemeter-agent run")
    return 0


def _refuse_if_joined(state_dir: StateDir) -> None:
    known = identity.load(state_dir.identity_path)
    if known is not None:
        where = identity.address(known.host, known.enrol_port)
        raise AgentError(
            f"this board has joined {where} as {known.name} (device {known.device_id}): "
            "--force joins anew, --state-dir joins beside it"
        )
