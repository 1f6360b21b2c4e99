"""Whether a recipe can be meant at all, before it is known for which model. Pure."""

from __future__ import annotations

from edgemeter_converters import recipes
from edgemeter_converters.models.frameworks import FRAMEWORKS


def recipe_problem(text: str) -> str:
    """What is wrong with a recipe for models of every framework, one line; empty for one that some may have.

    What a recipe means without "@FORMAT" depends on the model's framework.
    """
    problems = []
    for framework in FRAMEWORKS:
        try:
            recipes.parse(text, framework)
        except recipes.RecipeError as error:
            problems.append(str(error))
        else:
            return ""
    return problems[0]
