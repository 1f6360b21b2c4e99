"""What models are for, one file a task. numpy only: the coordinator scores devices' outputs with this.

A task is written as a call: `classification`, `detection(centernet, classes=80)`.
"""

from __future__ import annotations

import difflib
from types import MappingProxyType

from edgemeter_converters.exceptions import RecipeError
from edgemeter_converters.recipes import grammar
from edgemeter_converters.steps.call import StepCall
from edgemeter_converters.steps.parameter import bind
from edgemeter_converters.tasks import (
    anomaly,
    characters,
    classification,
    detection,
    encoder,
    generative,
    language_model,
    super_resolution,
)
from edgemeter_converters.tasks.task import LABELS, ORIGINAL, Task, TaskKind, Truth, first_against
from edgemeter_protos.v1 import variant_pb2

__all__ = [
    "LABELS",
    "ORIGINAL",
    "TASKS",
    "Task",
    "TaskKind",
    "Truth",
    "first_against",
    "scores_classes",
    "task",
    "task_of",
]

TASKS: MappingProxyType[str, TaskKind] = MappingProxyType(
    {
        each.name: each
        for each in (
            language_model.KIND,
            classification.KIND,
            detection.KIND,
            anomaly.KIND,
            characters.KIND,
            encoder.KIND,
            generative.KIND,
            super_resolution.KIND,
        )
    }
)
"""In the order in which `task_of` tries those that may be guessed."""


def task(text: str) -> Task:
    """The task that a text calls.

    Raises:
        ValueError: no such task, or arguments that it does not take; the message is one line.
    """
    try:
        written = grammar.read(text)
        call = written.steps[0]
        if len(written.steps) > 1 or written.format:
            raise ValueError(f"{text!r} is no task: write one call, such as {_examples()}")
        kind = TASKS.get(call.name)
        if kind is None:
            nearest = difflib.get_close_matches(call.name, TASKS, n=1)
            hint = f"did you mean {nearest[0]!r}? " if nearest else ""
            raise ValueError(f"no task {call.name!r}: {hint}there are {', '.join(TASKS)}")
        return kind.make(bind(kind.name, kind.parameters, call))
    except RecipeError as error:
        raise ValueError(str(error).replace("recipe ", "task ", 1)) from error


def task_of(signature: variant_pb2.Signature) -> str:
    """The text of the first task that may be guessed and fits a model of this signature; empty where none
    does."""
    guessed = [kind for kind in TASKS.values() if kind.guessed]
    made = (kind.make(bind(kind.name, kind.parameters, _bare(kind))) for kind in guessed)
    return next((each.text for each in made if each.fits(signature)), "")


def scores_classes(text: str) -> bool:
    """Whether the task of this text, which may be empty for none, is one whose `TaskKind` says so."""
    return text in TASKS and TASKS[text].scores_classes


def _bare(kind: TaskKind) -> StepCall:
    return StepCall(name=kind.name)


def _examples() -> str:
    return " or ".join(kind.example or kind.name for kind in list(TASKS.values())[:2])
