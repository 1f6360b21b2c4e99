"""What recipes there are, and which of them suit a model. Pure."""

from __future__ import annotations

from edgemeter_converters.exceptions import RecipeError
from edgemeter_converters.formats import FORMATS
from edgemeter_converters.recipes import planning
from edgemeter_converters.recipes.recipe import Recipe
from edgemeter_converters.steps import STEPS
from edgemeter_protos.v1 import lab_pb2


def catalogue() -> tuple[lab_pb2.Recipe, ...]:
    """Every step as a recipe of its own, in the registry's order: what `edgemeter recipe ls` shows."""
    recipes = [(step, planning.parse(step.example or step.name)) for step in STEPS.values()]
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
    """Every step in every format, with the reason where a model of that framework can't be compressed so."""
    answers = []
    for step in STEPS.values():
        for format_ in FORMATS:
            try:
                recipe = planning.parse(f"{step.example or step.name}@{format_}", framework)
            except RecipeError:
                continue
            reason = planning.refusal(recipe, framework)
            answers.append(
                lab_pb2.Applicability(recipe=str(recipe), applies=not reason, reason=reason or _needs(recipe))
            )
    return tuple(answers)


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
