"""Changes what makes a board's numbers quieter, and puts it back.

What was is written down before anything is changed, in a file of root's: `undo` restores exactly that, and a
reboot empties /run and resets everything that is written here.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgemeter_agent.board.guard import measuring, only_settings, restore_left_over, set_all, write_note
from edgemeter_agent.board.root import BoardRoot, reason
from edgemeter_agent.tuning import steps
from edgemeter_agent.tuning.advice import Advice, Step

NOTE = "run/edgemeter-agent-tune.json"
"""Not in the agent's own folder: root must not follow what another user wrote."""


class TuningError(Exception):
    """Why nothing was changed at all: a line for the user."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    name: str
    failure: str = ""
    """Empty where it was done."""


@dataclass(frozen=True, kw_only=True)
class Changed:
    """What was changed since the last undo."""

    was: Mapping[str, str] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.was or self.steps)


def apply(board: BoardRoot, advices: Sequence[Advice]) -> list[Outcome]:
    """Changes what can be changed, one outcome for each advice that was tried. Raises TuningError."""
    _refuse_while_measuring(board)
    outcomes = []
    for advice in advices:
        if not advice.can_be_applied:
            continue
        failure = _change(board, advice)
        outcomes.append(Outcome(name=advice.name, failure=failure or ""))
    return outcomes


def undo(board: BoardRoot) -> list[Outcome]:
    """Puts back everything; what could not be put back stays noted. Raises TuningError."""
    _refuse_while_measuring(board)
    changed = read(board)
    outcomes = []
    left_was, left_steps = {}, []
    for path, value in changed.was.items():
        failure = set_all(board, {path: value})
        if failure:
            left_was[path] = value
        outcomes.append(Outcome(name=f"/{path}", failure=failure or ""))
    for step in reversed(changed.steps):
        name = f"{step.kind} {step.what}".strip()
        try:
            steps.run(board, step, undo=True)
        except OSError as error:
            left_steps.append(step)
            outcomes.append(Outcome(name=name, failure=str(error)))
        else:
            outcomes.append(Outcome(name=name))
    if changed:
        _write(board, Changed(was=left_was, steps=tuple(reversed(left_steps))))
    return outcomes


def read(board: BoardRoot) -> Changed:
    """Nothing where there is no note, or none that can be read."""
    try:
        told = json.loads(board.text(NOTE))
        done = tuple(Step(kind=str(kind), what=str(what)) for kind, what in told["steps"])
        return Changed(was=only_settings(told["was"]), steps=done)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Changed()


def _refuse_while_measuring(board: BoardRoot) -> None:
    """What a measurement has set is not what was."""
    restore_left_over(board)
    left = measuring(board).read()
    if left is not None and left.held:
        raise TuningError(
            f"process {left.holder['pid']} is measuring and has changed the governor itself; wait for its end"
        )


def _change(board: BoardRoot, advice: Advice) -> str | None:
    """Notes, then changes; why not, or None."""
    changed = read(board)
    try:
        was = {path: board.text(path) for path in advice.settings}
        # What was before the first change counts.
        noted = Changed(was={**was, **changed.was}, steps=changed.steps)
        _write(board, noted)
    except OSError as error:
        return f"{reason(error, f'/{NOTE}')}: what it was could not be written down, so it was left alone"
    failure = set_all(board, advice.settings)
    for step in advice.steps:
        if failure:
            break
        try:
            if step not in noted.steps:
                noted = Changed(was=noted.was, steps=(*noted.steps, step))
                _write(board, noted)
            steps.run(board, step)
        except OSError as error:
            failure = str(error)
            noted = Changed(was=noted.was, steps=tuple(one for one in noted.steps if one != step))
            with contextlib.suppress(OSError):
                _write(board, noted)
    if failure:
        # Nothing may be left half done.
        set_all(board, was)
        kept = {path: value for path, value in noted.was.items() if path not in was or path in changed.was}
        with contextlib.suppress(OSError):
            _write(board, Changed(was=kept, steps=noted.steps))
    return failure


def _write(board: BoardRoot, changed: Changed) -> None:
    if not changed:
        board.path(NOTE).unlink(missing_ok=True)
        return
    listed = [[step.kind, step.what] for step in changed.steps]
    write_note(board, NOTE, {"was": dict(changed.was), "steps": listed})
