"""What models are for, one file a task. numpy only: the coordinator scores devices' outputs with this."""

from __future__ import annotations

from types import MappingProxyType

from edgemeter_converters.tasks.classification import Classification
from edgemeter_converters.tasks.task import Task
from edgemeter_protos.v1 import variant_pb2

__all__ = ["TASKS", "Task", "task", "task_of"]

TASKS: MappingProxyType[str, Task] = MappingProxyType({each.name: each for each in (Classification(),)})


def task(name: str) -> Task:
    """The task of that name.

    Raises:
        KeyError: there is none; its text names those that there are.
    """
    try:
        return TASKS[name]
    except KeyError:
        raise KeyError(f"no task {name!r}; known: {', '.join(sorted(TASKS))}") from None


def task_of(signature: variant_pb2.Signature) -> str:
    """The name of the first task that fits a model of this signature; empty where none does."""
    return next((each.name for each in TASKS.values() if each.fits(signature)), "")
