"""`edgemeter-agent meter serve`: lets other boards read a meter that is connected to this host."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Iterator
from threading import Event
from typing import Any

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.failure import AgentError
from edgemeter_agent.meters import Meter

DEFAULT_LISTEN = "127.0.0.1:8571"
TOKEN_VARIABLE = "EDGEMETER_METER_TOKEN"  # noqa: S105 (the name of a variable)

EXAMPLE = """example:
  edgemeter-agent meter serve joulescope: --listen 0.0.0.0:8571 --token s3cret
and on the board that is measured:
  edgemeter-agent meter watch 'remote:LABHOST:8571?token=s3cret'"""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    from edgemeter_agent.meters.spec import describe_kinds

    kinds = "\n".join(f"  {usage:34} {summary}" for usage, summary in describe_kinds())
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "serve",
        help="let other boards read a meter of this host",
        description="Reads a meter and hands its readings to whoever connects, until interrupted.",
        epilog=f"meters:\n{kinds}\n\n{EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("spec", metavar="SPEC", help="the meter: see below, or a name of `meter ls`")
    parser.add_argument(
        "--listen", metavar="HOST:PORT", default=DEFAULT_LISTEN, help=f"default: {DEFAULT_LISTEN}"
    )
    parser.add_argument(
        "--token",
        metavar="TOKEN",
        help=f"what readers must know; also from ${TOKEN_VARIABLE}, where no list of processes shows it",
    )
    return parser


def run(args: argparse.Namespace, board: BoardRoot | None = None) -> int:
    """0 when it was asked to end. Raises AgentError."""
    # Threads, sockets and kinds of meters are for those who serve, not for a help text.
    from edgemeter_agent.meters import MeterError
    from edgemeter_agent.meters.address import join_address, split_address
    from edgemeter_agent.meters.meter_server import MeterServer
    from edgemeter_agent.meters.remote_lines import ALLOWED_CHARACTERS, is_token

    token = args.token if args.token is not None else os.environ.get(TOKEN_VARIABLE, "")
    if (token or args.token is not None) and not is_token(token):
        raise AgentError(f"--token has {ALLOWED_CHARACTERS}")
    try:
        address = split_address(args.listen)
    except ValueError as error:
        raise AgentError(f"--listen: {error}") from None
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listening(address))
        try:
            meter = stack.enter_context(contextlib.closing(_opened(args.spec, board or BoardRoot())))
            stop = stack.enter_context(_asked_to_end())
            about, bound = meter.description, listener.getsockname()
            print(
                f"{about.name} ({about.coverage}, {about.rate_hz:.3g} readings a second)"
                f" at {join_address(bound[0], bound[1])}",
                flush=True,
            )
            if not token and not _is_loopback(bound[0]):
                print(
                    "edgemeter-agent: whoever reaches this address can read it; --token asks for a token",
                    file=sys.stderr,
                )
            MeterServer(meter, listener, token).serve(stop)
        except (MeterError, ValueError) as error:
            raise AgentError(str(error)) from None
    return 0


def _opened(text: str, board: BoardRoot) -> Meter:
    """A spec, or the name of a meter of this host: those have no colon. Raises MeterError and ValueError."""
    from edgemeter_agent.meters import MeterError, registry
    from edgemeter_agent.meters.spec import open_spec

    if ":" in text:
        return open_spec(text, board)
    found = registry.find(board)
    meter = None
    try:
        meter = registry.choose(found, text)
    finally:
        registry.close(found, but=meter)
    if meter is None:
        raise MeterError("meter_unknown", "say which meter: a spec, or a name of `edgemeter-agent meter ls`")
    return meter


def _listening(address: tuple[str, int]) -> socket.socket:
    """Raises AgentError."""
    from edgemeter_agent.meters.address import join_address

    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        return socket.create_server(address, family=family)
    except OSError as error:
        raise AgentError(
            f"--listen {join_address(*address)}: {(error.strerror or str(error)).lower()}"
        ) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def _asked_to_end() -> Iterator[Event]:
    """Set by SIGTERM and Ctrl+C: the meter is closed and its program ended in an orderly way."""
    stop = Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
