"""`edgemeter-agent doctor`: the board, its runtimes, what it can measure and what not, and why."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from edgemeter_agent.board.emulation import emulated_because
from edgemeter_agent.board.facts import architecture, read_facts
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.cli import tune
from edgemeter_agent.compression import find_decompressor, transfer
from edgemeter_agent.runtimes import RUNTIMES, RuntimeKind
from edgemeter_agent.runtimes.installed import InstalledRuntime, installed_runtimes
from edgemeter_protos.v1 import device_pb2

MIB = 1024 * 1024

EXAMPLE = """example:
  edgemeter-agent doctor
  edgemeter-agent doctor --json
  edgemeter-agent doctor --tune
  sudo edgemeter-agent doctor --tune --apply"""


def add_parser(subparsers: Any) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        "doctor",
        help="show the board, its runtimes and what it can measure",
        description="Shows the board, its runtimes and versions, and what can be measured here.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    tune.add_options(parser)
    return parser


def run(args: argparse.Namespace, board: BoardRoot | None = None) -> int:
    """0; 1 where no runtime is usable, since then this board can take no job."""
    board = board or BoardRoot()
    if args.apply and not args.tune:
        print("edgemeter-agent: --apply changes what --tune says: give both", file=sys.stderr)
        return 2
    if args.tune or args.undo:
        return tune.run(args, board)
    facts = read_facts(board)
    runtimes = installed_runtimes()
    emulated = emulated_because(board, architecture(), os.environ)
    if args.json:
        print(json.dumps(as_json(facts, runtimes, emulated), indent=2))
    else:
        print(as_text(facts, runtimes, emulated))
    return 0 if facts.runtimes else 1


def as_json(
    facts: device_pb2.DeviceFacts, runtimes: Sequence[InstalledRuntime], emulated: str | None
) -> dict[str, Any]:
    return {
        "hostname": facts.hostname,
        "board": facts.board,
        "soc": facts.soc,
        "arch": facts.arch,
        "os": facts.os,
        "kernel": facts.kernel,
        "libc": facts.libc,
        "cpu_count": facts.cpu_count,
        "memory_bytes": facts.memory_bytes,
        "python_version": facts.python_version,
        "agent_version": facts.agent_version,
        "emulated": facts.emulated,
        "emulated_because": emulated,
        "transfer": transfer(find_decompressor()),
        "runtimes": [
            {"name": one.name, "version": one.version, "unusable_because": one.unusable_because}
            for one in runtimes
        ],
        "meters": [{"name": meter.name, "coverage": meter.coverage} for meter in facts.meters],
        "observables": [
            {"name": seen.name, "available": seen.available, "detail": seen.detail}
            for seen in facts.observables
        ],
    }


def as_text(facts: device_pb2.DeviceFacts, runtimes: Sequence[InstalledRuntime], emulated: str | None) -> str:
    lines = [
        f"board     {facts.board}",
        f"soc       {facts.soc}",
        f"arch      {facts.arch}, {facts.cpu_count} processors, {facts.memory_bytes // MIB} MiB",
        f"system    {facts.os}, kernel {facts.kernel}, {facts.libc}",
        f"python    {facts.python_version}",
        f"agent     {facts.agent_version}",
        f"transfer  {transfer(find_decompressor())}",
    ]
    if emulated:
        lines.append(f"emulated  {emulated}: timings mean nothing here")
    lines += ["", "runtimes", *_runtime_lines(runtimes), "", "measurable"]
    for seen in facts.observables:
        lines.append(f"  {'yes' if seen.available else 'no ':3}  {seen.name:12} {seen.detail}")
    return "\n".join(lines)


def _runtime_lines(runtimes: Sequence[InstalledRuntime]) -> list[str]:
    lines = [
        f"  {'yes' if one.usable else 'no ':3}  {f'{one.name} {one.version}':24} "
        f"{one.unusable_because or 'runs ' + ', '.join(one.formats)}"
        for one in runtimes
    ]
    here = {one.name for one in runtimes}
    absent = [kind for kind in RUNTIMES if kind.name not in here]
    return lines + [f"  no   {kind.name:24} not installed (package {_packages(kind)})" for kind in absent]


def _packages(kind: RuntimeKind) -> str:
    return " or ".join(package.distributions[0] for package in kind.packages)
