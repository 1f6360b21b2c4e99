"""`edgemeter-agent doctor --tune`: what to change for quieter numbers, and changing it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Any

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.tuning import advise
from edgemeter_agent.tuning.advice import Advice
from edgemeter_agent.tuning.apply import Outcome, TuningError, apply, undo


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--tune", action="store_true", help="say what to change for quieter numbers")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--dry-run", action="store_true", help="with --tune: only say it (default)")
    how.add_argument(
        "--apply", action="store_true", help="with --tune: change what can be undone; takes root"
    )
    how.add_argument("--undo", action="store_true", help="put back what --tune --apply changed")


def run(args: argparse.Namespace, board: BoardRoot) -> int:
    """0; 1 where something that was to be changed, or put back, could not be."""
    try:
        if args.undo:
            return _show_outcomes(undo(board), "put back", "nothing had been changed", args.json)
        advices = advise(board)
        if args.apply:
            return _show_outcomes(apply(board, advices), "changed", "nothing to change", args.json)
    except TuningError as error:
        print(f"edgemeter-agent: {error}", file=sys.stderr)
        return 1
    print(json.dumps([as_json(advice) for advice in advices], indent=2) if args.json else as_text(advices))
    return 0


def as_json(advice: Advice) -> dict[str, Any]:
    return {
        "name": advice.name,
        "quiet": advice.quiet,
        "current": advice.current,
        "wanted": advice.wanted or None,
        "why": advice.why,
        "command": advice.command or None,
        "can_be_applied": advice.can_be_applied,
        "by_hand": advice.by_hand or None,
    }


def as_text(advices: Sequence[Advice]) -> str:
    lines = []
    for advice in advices:
        if advice.quiet:
            lines.append(f"quiet  {advice.name}: {advice.current}")
            continue
        lines.append(f"noisy  {advice.name}: {advice.current} -> {advice.wanted}")
        lines.append(f"         why: {advice.why}")
        if advice.command:
            lines.append(f"         do:  {advice.command}")
        if advice.by_hand:
            lines.append(f"         by hand: {advice.by_hand}")
    ready = sum(advice.can_be_applied for advice in advices)
    noisy = sum(not advice.quiet for advice in advices)
    lines += ["", f"{noisy} of {len(advices)} could be quieter"]
    if ready:
        lines[-1] += (
            f"; `sudo edgemeter-agent doctor --tune --apply` changes {ready} of them,"
            " until `doctor --undo` or a reboot"
        )
    return "\n".join(lines)


def _show_outcomes(outcomes: Sequence[Outcome], done: str, nothing: str, as_json: bool) -> int:
    failed = any(outcome.failure for outcome in outcomes)
    if as_json:
        plain = [
            {"name": one.name, "done": not one.failure, "failure": one.failure or None} for one in outcomes
        ]
        print(json.dumps(plain, indent=2))
        return 1 if failed else 0
    for outcome in outcomes:
        print(f"{f'not {done}' if outcome.failure else done}: {outcome.name}", end="")
        print(f": {outcome.failure}" if outcome.failure else "")
    if not outcomes:
        print(nothing)
    if failed and os.geteuid() != 0:
        print("edgemeter-agent: most of it takes root; with sudo it may work", file=sys.stderr)
    return 1 if failed else 0
