"""The frequency governor: performance while measuring, and afterwards what it was before.

What was is written down under /run before anything is changed, so that the agent puts it back if this
process is killed. A reboot empties /run, and resets governors as well.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator

from edgemeter_agent.board.processor import CPUFREQ
from edgemeter_agent.board.root import BoardRoot, reason

WANTED = "performance"
GUARD = "run/edgemeter-agent/governor.json"


def settable_because(board: BoardRoot) -> str | None:
    """Why the governor can't be set to performance; None where it can."""
    policies = board.glob(f"{CPUFREQ}/policy*")
    if not policies:
        return f"no /{CPUFREQ}/policy*"
    for policy in policies:
        offered = board.text_or_none(f"{policy}/scaling_available_governors")
        if offered is not None and WANTED not in offered.split():
            return f"/{policy} offers {offered}"
        if not os.access(board.path(f"{policy}/scaling_governor"), os.W_OK):
            return f"/{policy}/scaling_governor is not writable; root may"
    return None


@contextlib.contextmanager
def performance(board: BoardRoot) -> Iterator[str | None]:
    """Sets the governor for a while. Yields None where it did or where nothing was to do, and else why
    not."""
    restore_left_over(board)
    why_not = settable_because(board)
    if why_not is not None:
        yield why_not
        return
    was = _current(board)
    if set(was.values()) == {WANTED}:
        yield None
        return
    try:
        _write_guard(board, was)
    except OSError as error:
        yield f"{reason(error, f'/{GUARD}')}: what it was could not be written down, so it was left alone"
        return
    try:
        yield _set(board, dict.fromkeys(was, WANTED))
    finally:
        _set(board, was)
        board.path(GUARD).unlink(missing_ok=True)


def restore_left_over(board: BoardRoot) -> bool:
    """Puts back what a killed process left changed. True where there was something to put back."""
    try:
        left = json.loads(board.text(GUARD))
        holder, was = int(left["pid"]), {str(policy): str(name) for policy, name in left["governors"].items()}
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Cut off in the middle of being written, which is before anything was changed.
        with contextlib.suppress(OSError):
            board.path(GUARD).unlink(missing_ok=True)
        return False
    if holder != os.getpid() and _alive(holder):
        return False
    _set(board, {policy: name for policy, name in was.items() if policy.startswith(f"{CPUFREQ}/policy")})
    board.path(GUARD).unlink(missing_ok=True)
    return True


def _current(board: BoardRoot) -> dict[str, str]:
    return {policy: board.text(f"{policy}/scaling_governor") for policy in board.glob(f"{CPUFREQ}/policy*")}


def _write_guard(board: BoardRoot, was: dict[str, str]) -> None:
    path = board.path(GUARD)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"pid": os.getpid(), "governors": was}))


def _set(board: BoardRoot, governors: dict[str, str]) -> str | None:
    """The first failure, if any."""
    failed = None
    for policy, name in governors.items():
        try:
            board.path(f"{policy}/scaling_governor").write_text(name)
        except OSError as error:
            failed = failed or reason(error, f"/{policy}/scaling_governor")
    return failed


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
