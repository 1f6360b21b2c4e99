"""Whether a recipe's parts exist and go together, and what follows from them. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NoReturn

from edgemeter_converters.exceptions import RecipeError
from edgemeter_converters.formats import FORMATS
from edgemeter_converters.formats.format import Options
from edgemeter_converters.models.frameworks import FRAMEWORKS
from edgemeter_converters.recipes import grammar
from edgemeter_converters.recipes.recipe import Recipe
from edgemeter_converters.steps import STEPS, Precision, Step
from edgemeter_converters.steps.call import StepCall
from edgemeter_converters.steps.encoding_arguments import ENCODING_ARGUMENTS
from edgemeter_converters.steps.parameter import Arguments, bind, canonical
from edgemeter_protos.v1 import variant_pb2

USUAL_FRAMEWORK = "keras"

_ORDER = (
    "distill",
    "prune-layers",
    "prune-width",
    "prune-channels",
    "lora",
    "low-rank",
    "prune",
    "cluster",
)
"""Of the steps that change the model: each would undo what those after it do. What is trained anew goes
first, then what changes shapes, then what heals by moving every weight, then what decides single weights."""

_RETRAINS = "qat"
"""Moves every weight, though not those that are zero."""

USUAL_CALIBRATION_SAMPLES = 200
"""Ranges settle within a few hundred; TensorFlow's guide to post-training quantization says 100 to 500."""


def parse(text: str, framework: str = USUAL_FRAMEWORK) -> Recipe:
    """The recipe that `text` means for models of a framework, with their natural format where it names none.

    `str()` of the result is the canonical text, in which equal recipes are equal:
    `parse(str(recipe)) == recipe`.

    Raises:
        RecipeError: the text can't be read, names what there is not, or combines what can't be combined.
    """
    written = grammar.read(text)
    steps = [_known_step(call, text) for call in written.steps]
    calls = tuple(
        canonical(step.name, step.parameters, bind(step.name, step.parameters, call))
        for step, call in zip(steps, written.steps, strict=True)
    )
    _check_order(steps)
    format_ = FRAMEWORKS[framework].natural_format if written.format is None else written.format
    if format_ not in FORMATS:
        raise RecipeError(f"unknown format {format_!r}: {_nearest(format_, FORMATS)}")
    recipe = Recipe(steps=calls, format=format_)
    if precision(recipe) not in FORMATS[format_].precisions:
        raise RecipeError(f"'{recipe}': format {format_!r} has no encoding for {steps[-1].name!r}")
    return recipe


def refusal(recipe: Recipe, framework: str) -> str:
    """Why a model of that framework can't be compressed so, one sentence; empty where it can."""
    return (
        next(filter(None, (step_refusal(STEPS[call.name], framework) for call in recipe.steps)), "")
        or format_refusal(recipe.format, framework)
        or FORMATS[recipe.format].refusal(framework, precision(recipe), options(recipe))
    )


def step_refusal(step: Step, framework: str) -> str:
    """Why no model of that framework can go through the step, one sentence; empty where it can."""
    if not step.transforms or framework in step.frameworks:
        return ""
    able = " or ".join(FRAMEWORKS[each].noun for each in sorted(step.frameworks))
    return f"{step.name!r} changes the network, which takes {able}, and this is {FRAMEWORKS[framework].noun}"


def format_refusal(name: str, framework: str) -> str:
    """Why no model of that framework can be written in the format, one sentence; empty where it can."""
    if framework in FORMATS[name].frameworks:
        return ""
    known = FRAMEWORKS[framework]
    return f"{known.noun} can't be written as {name!r}; its natural format is {known.natural_format!r}"


def precision(recipe: Recipe) -> Precision:
    """What the format is to encode with: float32 where no step says."""
    return STEPS[recipe.steps[-1].name].precision or Precision.FLOAT32


def options(recipe: Recipe) -> Options:
    """How the format is to encode, beside the precision."""
    arguments = arguments_of(recipe.steps[-1])
    keep = arguments.get("keep") or ()
    assert isinstance(keep, tuple)
    return Options(
        per_tensor=bool(arguments.get("per_tensor")),
        io=str(arguments.get("io") or ""),
        calibration_method=str(arguments.get("method") or ""),
        keep=keep,
        operators=str(arguments.get("operators") or "qdq"),
        keeps_by_itself=auto_keep(recipe) is not None,
    )


def auto_keep(recipe: Recipe) -> float | None:
    """The drop in quality within which sensitive layers are left in float; None where none are looked for."""
    bound = arguments_of(recipe.steps[-1]).get("auto_keep")
    return bound if isinstance(bound, float) else None


def calibration_samples(recipe: Recipe) -> int:
    """How many calibration samples it looks at; 0 for none."""
    if not needs_calibration(recipe):
        return 0
    asked = arguments_of(recipe.steps[-1]).get("samples")
    return asked if isinstance(asked, int) else USUAL_CALIBRATION_SAMPLES


def needs_calibration(recipe: Recipe) -> bool:
    """Whether any step looks at calibration samples."""
    return any(STEPS[call.name].needs_calibration for call in recipe.steps)


def needs_training(recipe: Recipe) -> bool:
    """Whether any step looks at training samples: to fine-tune, to choose layers, to calibrate with more."""
    return (
        any(trains(call) for call in recipe.steps)
        or auto_keep(recipe) is not None
        or calibration_samples(recipe) > USUAL_CALIBRATION_SAMPLES
    )


def trains(call: StepCall) -> bool:
    """Whether this call of a step looks at training samples, mostly to fine-tune."""
    return STEPS[call.name].needs_training and arguments_of(call).get("epochs") != 0


def may_go_without_data(call: StepCall) -> bool:
    """Whether the step can be told to look at no training samples, by epochs=0."""
    epochs = [each for each in STEPS[call.name].parameters if each.name == "epochs"]
    return any(each.low <= 0 for each in epochs)


def transforms(recipe: Recipe) -> tuple[StepCall, ...]:
    """The steps that change the model before it is encoded, in their order."""
    return tuple(call for call in recipe.steps if STEPS[call.name].transforms)


def transforming(call: StepCall) -> StepCall:
    """The call without the arguments that only say how to encode: what the change to the model follows
    from."""
    step = STEPS[call.name]
    changing = tuple(each for each in step.parameters if each.name not in ENCODING_ARGUMENTS)
    return canonical(step.name, changing, arguments_of(call))


def arguments_of(call: StepCall) -> Arguments:
    """A known step's arguments, defaults filled in."""
    return bind(call.name, STEPS[call.name].parameters, call)


def runtimes(recipe: Recipe, framework: str = USUAL_FRAMEWORK) -> tuple[variant_pb2.RuntimeRequirement, ...]:
    """The runtimes, any one of which may run the result."""
    return FORMATS[recipe.format].runtimes(framework, precision(recipe), options(recipe))


def _known_step(call: StepCall, text: str) -> Step:
    step = STEPS.get(call.name)
    if step is not None:
        return step
    where = "" if text.strip().lower() == call.name else f" in {grammar.quoted(text)}"
    raise RecipeError(f"unknown recipe {grammar.quoted(call.name)}{where}: {_nearest(call.name, STEPS)}")


def _check_order(steps: Sequence[Step]) -> None:
    encoders = [step.name for step in steps if step.precision is not None]
    if len(encoders) > 1:
        _refuse(encoders[0], encoders[1], "each says how the model is encoded; keep one, as the last step")
    if encoders and steps[-1].precision is None:
        raise RecipeError(f"{encoders[0]!r} says how the model is encoded: it has to be the last step")
    changes = [step.name for step in steps if step.name in _ORDER]
    for first, second in pairwise(changes):
        if first == second:
            raise RecipeError(f"{first!r} stands twice: keep one of them")
        if _ORDER.index(first) > _ORDER.index(second):
            raise RecipeError(f"{second!r} would undo what {first!r} did: write {second!r} before {first!r}")
    if encoders == [_RETRAINS] and "cluster" in changes:
        _refuse("cluster", _RETRAINS, "its training would part what the clusters share; int8 keeps them")


def _refuse(first: str, second: str, why: str) -> NoReturn:
    raise RecipeError(f"{first!r} and {second!r} can't be combined: {why}")


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    suggestion = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"{suggestion}Known: {', '.join(names)}"
