"""Whether a recipe's parts exist and go together, and what follows from them. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from edgemeter_converters.exceptions import RecipeError
from edgemeter_converters.formats import FORMATS
from edgemeter_converters.recipes import grammar
from edgemeter_converters.recipes.recipe import Recipe, StepCall
from edgemeter_converters.steps import STEPS, Precision, Step
from edgemeter_protos.v1 import lab_pb2, variant_pb2


def parse(text: str) -> Recipe:
    """The recipe that `text` means, with its natural format where it names none.

    `str()` of the result is the canonical text: `parse(str(recipe)) == recipe`.

    Raises:
        RecipeError: the text can't be read, names what there is not, or combines what can't be combined.
    """
    written = grammar.read(text)
    steps = [_known_step(call, text) for call in written.steps]
    for call in written.steps:
        if call.arguments or call.keywords:
            raise RecipeError(f"{str(call)!r}: {call.name!r} takes no arguments; write {call.name!r}")
    _check_order(steps)
    format_ = steps[-1].natural_format if written.format is None else written.format
    if format_ not in FORMATS:
        raise RecipeError(f"unknown format {format_!r}: {_nearest(format_, FORMATS)}")
    recipe = Recipe(steps=written.steps, format=format_)
    if precision(recipe) not in FORMATS[format_].precisions:
        raise RecipeError(f"'{recipe}': format {format_!r} has no encoding for {steps[-1].name!r}")
    return recipe


def precision(recipe: Recipe) -> Precision:
    """What the format is to encode with: float32 where no step says."""
    return STEPS[recipe.steps[-1].name].precision or Precision.FLOAT32


def needs_calibration(recipe: Recipe) -> bool:
    """Whether any step looks at calibration samples."""
    return any(STEPS[call.name].needs_calibration for call in recipe.steps)


def runtimes(recipe: Recipe) -> tuple[variant_pb2.RuntimeRequirement, ...]:
    """The runtimes, any one of which may run the result."""
    return FORMATS[recipe.format].runtimes(precision(recipe))


def catalogue() -> tuple[lab_pb2.Recipe, ...]:
    """Every step as a recipe of its own, in the registry's order: what `edgemeter recipe ls` shows."""
    recipes = [(step, parse(step.name)) for step in STEPS.values()]
    return tuple(
        lab_pb2.Recipe(
            text=str(recipe),
            summary=step.summary,
            needs_calibration=needs_calibration(recipe),
            runtimes=runtimes(recipe),
        )
        for step, recipe in recipes
    )


def _known_step(call: StepCall, text: str) -> Step:
    step = STEPS.get(call.name)
    if step is not None:
        return step
    where = "" if text.strip().lower() == call.name else f" in {grammar.quoted(text)}"
    raise RecipeError(f"unknown recipe {grammar.quoted(call.name)}{where}: {_nearest(call.name, STEPS)}")


def _check_order(steps: list[Step]) -> None:
    encoders = [step.name for step in steps if step.precision is not None]
    if len(encoders) > 1:
        raise RecipeError(
            f"{encoders[0]!r} and {encoders[1]!r} can't be combined: "
            "each says how the model is encoded; keep one, as the last step"
        )
    if encoders and steps[-1].precision is None:
        raise RecipeError(f"{encoders[0]!r} says how the model is encoded: it has to be the last step")


def _nearest(name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    nearest = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    suggestion = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"{suggestion}Known: {', '.join(names)}"
