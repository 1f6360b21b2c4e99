"""What recipes there are, and which of them suit a model. Pure."""

from __future__ import annotations

from edgemeter_converters.exceptions import RecipeError
from edgemeter_converters.formats import FORMATS
from edgemeter_converters.models.frameworks import FRAMEWORKS
from edgemeter_converters.recipes import planning
from edgemeter_converters.recipes.recipe import Recipe
from edgemeter_converters.steps import STEPS, Step
from edgemeter_protos.v1 import lab_pb2


def catalogue() -> tuple[lab_pb2.Recipe, ...]:
    """Every step as a recipe of its own, in the registry's order: what `edgemeter recipe ls` shows."""
    recipes = [(step, _usual_recipe(step)) for step in STEPS.values()]
    return tuple(
        lab_pb2.Recipe(
            text=str(recipe).rpartition("@")[0],
            summary=step.summary,
            needs_calibration=planning.needs_calibration(recipe),
            needs_training=planning.needs_training(recipe),
            formats=[
                name for name, format_ in FORMATS.items() if planning.precision(recipe) in format_.precisions
            ],
            runtimes=planning.runtimes(recipe),
            parameters=[
                lab_pb2.RecipeParameter(name=each.name, help=each.help, usual=_usual(each.default))
                for each in step.parameters
            ],
        )
        for step, recipe in recipes
    )


def applicability(framework: str) -> tuple[lab_pb2.Applicability, ...]:
    """Every step in every format, with the reason where a model of that framework can't be compressed so.

    A step that no format helps is named alone ("prune(0.5)"), and so is a format that suits no step
    ("@executorch").
    """
    answers: list[lab_pb2.Applicability] = []
    for step in STEPS.values():
        usual = step.example or step.name
        no_way = planning.step_refusal(step, framework)
        if no_way:
            answers.append(lab_pb2.Applicability(recipe=usual, reason=no_way))
            continue
        for name in FORMATS:
            recipe = None if planning.format_refusal(name, framework) else _in_format(usual, name, framework)
            if recipe is None:
                continue
            reason = planning.refusal(recipe, framework)
            answers.append(
                lab_pb2.Applicability(recipe=str(recipe), applies=not reason, reason=reason or _needs(recipe))
            )
    for name in FORMATS:
        no_way = planning.format_refusal(name, framework)
        if no_way:
            answers.append(lab_pb2.Applicability(recipe=f"@{name}", reason=no_way))
    return tuple(answers)


def _in_format(step: str, format_: str, framework: str) -> Recipe | None:
    """None where the format has no encoding for the step, whatever the framework."""
    try:
        return planning.parse(f"{step}@{format_}", framework)
    except RecipeError:
        return None


def _usual_recipe(step: Step) -> Recipe:
    """In the usual framework's natural format, or in the first that has an encoding for it."""
    usual = step.example or step.name
    has = (name for name, format_ in FORMATS.items() if step.precision in format_.precisions)
    natural = FORMATS[FRAMEWORKS[planning.USUAL_FRAMEWORK].natural_format]
    if step.precision is None or step.precision in natural.precisions:
        return planning.parse(usual)
    return planning.parse(f"{usual}@{next(has)}")


def _needs(recipe: Recipe) -> str:
    needs = [
        name
        for name, needed in (
            ("training samples", planning.needs_training(recipe)),
            ("calibration samples", planning.needs_calibration(recipe)),
        )
        if needed
    ]
    return f"needs {' and '.join(needs)}" if needs else ""


def _usual(default: object) -> str:
    return "" if default in (None, False, ()) else str(default)
