"""A measurement plan from what a user says: a profile, a file, single numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_protos import plan_file, plans
from edgemeter_protos.v1 import plan_pb2

USUAL_PROFILE = "standard"

PlanValue = int | float | str | bool | list[int]
"""Of a field of the message Plan: a scenario by its name ("server"), a duration as a text ("10m") under its
name without _ns, processors as a list."""


def resolve_plan(
    profile: str | None, overrides: Mapping[str, PlanValue], file: str | Path | None = None
) -> plan_pb2.Plan:
    """A plan with every number resolved: `overrides` before those of `file` before those of the profile.

    The profile is `profile`, else the file's, else "standard". Raises EdgemeterError for what a plan does not
    take, and for a file that can't be read.
    """
    try:
        from_file, in_file = plan_file.read(Path(file)) if file is not None else (None, {})
        # By the names of fields, so that "sustain" outdoes a file's "sustain_duration".
        given = {**in_file, **plans.normalized(overrides)}
        return plans.resolve(profile or from_file or USUAL_PROFILE, **given)
    except (ValueError, TypeError) as error:
        raise EdgemeterError(str(error)) from error
