"""What one run of a study file is to make: which parts, by which recipes, measured by which plan. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from edgemeter_coordinator.sdk.errors import EdgemeterError
from edgemeter_coordinator.sdk.plan import USUAL_PROFILE
from edgemeter_coordinator.study_file.contents import How, Part, StudyFile
from edgemeter_coordinator.study_file.reading import check_name
from edgemeter_protos import plans
from edgemeter_protos.v1 import plan_pb2

QUICK_SUFFIX = "-quick"
"""A quick run's studies have names of their own: their numbers are no repetition of the full run's."""


@dataclass(frozen=True, kw_only=True)
class WantedPart:
    """Attributes:
    recipes: the first is the baseline.
    """

    part: Part
    recipes: tuple[str, ...]
    plan: plan_pb2.Plan


def run_name(file: StudyFile, *, quick: bool, asked: str | None) -> str:
    """What comes before the slash in the names of a run's studies. Raises EdgemeterError for a bad one."""
    if asked is None:
        return file.name + (QUICK_SUFFIX if quick else "")
    check_name(asked)
    return asked


def wanted(
    file: StudyFile,
    *,
    quick: bool = False,
    only: Collection[str] = (),
    profile: str | None = None,
    overrides: Mapping[str, object] | None = None,
) -> list[WantedPart]:
    """The parts to be made, in the file's order.

    Of recipes and of each number of the plan, what is said closest to the part counts; in a quick run what is
    said for one counts before all else, and the profile is "quick" unless that says otherwise. `profile` and
    `overrides`, which `plans.normalized` takes, outdo the file.

    Raises EdgemeterError for a part that there is not, for a plan that contradicts itself, and where nothing
    is left.
    """
    _check_only(file, only)
    given = _normalized(overrides or {})
    chosen = [part for part in file.parts if not only or part.name in only]
    if quick:
        chosen = [part for part in chosen if part.quick is not None]
    if not chosen:
        raise EdgemeterError(f"{file.source}: no part is left: all that are asked for say quick = false")
    return [_wanted(file, part, quick=quick, profile=profile, given=given) for part in chosen]


def _wanted(
    file: StudyFile, part: Part, *, quick: bool, profile: str | None, given: Mapping[str, plans.Value]
) -> WantedPart:
    layers: list[How] = [file.how, part.how]
    if quick:
        layers += [How(profile="quick", plan={}), file.quick]
        layers += [] if part.quick is None else [part.quick]
    recipes = next(layer.recipes for layer in reversed(layers) if layer.recipes)
    named = [layer.profile for layer in layers if layer.profile is not None]
    numbers: dict[str, plans.Value] = {}
    for layer in layers:
        numbers |= layer.plan
    try:
        plan = plans.resolve(profile or (named[-1] if named else USUAL_PROFILE), **{**numbers, **given})
    except ValueError as error:
        raise EdgemeterError(f"{file.source}:{part.line}: plan of part {part.name}: {error}") from None
    return WantedPart(part=part, recipes=recipes, plan=plan)


def _check_only(file: StudyFile, only: Collection[str]) -> None:
    names: Sequence[str] = [part.name for part in file.parts]
    for each in only:
        if each not in names:
            near = difflib.get_close_matches(each[:100], names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names)}"
            raise EdgemeterError(f"{file.source} has no part {plans.shown(each)}: {hint}")


def _normalized(overrides: Mapping[str, object]) -> dict[str, plans.Value]:
    try:
        return plans.normalized(overrides)
    except ValueError as error:
        raise EdgemeterError(str(error)) from None
