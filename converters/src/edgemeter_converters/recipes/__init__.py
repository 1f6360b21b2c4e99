"""How to compress, as text: `step(arguments)(+step)*@format`. Pure."""

from __future__ import annotations

from edgemeter_converters.exceptions import RecipeError
from edgemeter_converters.recipes.catalogue import applicability, catalogue
from edgemeter_converters.recipes.planning import (
    USUAL_CALIBRATION_SAMPLES,
    arguments_of,
    auto_keep,
    calibration_samples,
    may_go_without_data,
    needs_calibration,
    needs_training,
    options,
    parse,
    precision,
    refusal,
    runtimes,
    trains,
    transforming,
    transforms,
)
from edgemeter_converters.recipes.recipe import Recipe
from edgemeter_converters.steps.call import Alternatives, Percent, Ratio, StepCall, Value

__all__ = [
    "USUAL_CALIBRATION_SAMPLES",
    "Alternatives",
    "Percent",
    "Ratio",
    "Recipe",
    "RecipeError",
    "StepCall",
    "Value",
    "applicability",
    "arguments_of",
    "auto_keep",
    "calibration_samples",
    "catalogue",
    "may_go_without_data",
    "needs_calibration",
    "needs_training",
    "options",
    "parse",
    "precision",
    "refusal",
    "runtimes",
    "trains",
    "transforming",
    "transforms",
]
