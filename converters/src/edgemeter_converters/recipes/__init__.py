"""How to compress, as text: `step(arguments)(+step)*@format`. Pure."""

from __future__ import annotations

from edgemeter_converters.exceptions import RecipeError
from edgemeter_converters.recipes.planning import catalogue, needs_calibration, parse, precision, runtimes
from edgemeter_converters.recipes.recipe import Percent, Ratio, Recipe, StepCall, Value

__all__ = [
    "Percent",
    "Ratio",
    "Recipe",
    "RecipeError",
    "StepCall",
    "Value",
    "catalogue",
    "needs_calibration",
    "parse",
    "precision",
    "runtimes",
]
