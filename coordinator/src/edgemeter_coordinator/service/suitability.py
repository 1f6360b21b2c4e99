"""Whether recipes suit a model and its data, before anything is built. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgemeter_converters import identity, recipes, tasks
from edgemeter_converters.datasets import check_fits
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.recipes import Recipe
from edgemeter_coordinator.conversion.workbench import refused
from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.store.datasets import DatasetRow
from edgemeter_coordinator.store.models import ModelRow
from edgemeter_protos.v1 import refusal_pb2

MAX_RECIPES = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadRecipe:
    """A recipe as it was read, and the versions of the tools that would carry it out."""

    recipe: Recipe
    tool_versions: Mapping[str, str]

    def __str__(self) -> str:
        return str(self.recipe)


def read_recipes(texts: Sequence[str], framework: str, installed: Mapping[str, str]) -> list[ReadRecipe]:
    """The recipes of a study of a model of that framework, the baseline first.

    Args:
        installed: versions of what the workers have.

    Raises Refused: UNKNOWN_RECIPE, also for one that the framework has no way to carry out; BAD_REQUEST where
    there is none, too many, or one twice.
    """
    if not 0 < len(texts) <= MAX_RECIPES:
        raise Refused(
            refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
            f"{len(texts)} recipes are named: a study takes 1 to {MAX_RECIPES}",
        )
    read: dict[str, Recipe] = {}
    for text in texts:
        try:
            recipe = recipes.parse(text, framework)
        except ConversionError as error:
            raise refused(error) from error
        if str(recipe) in read:
            raise Refused(
                refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
                f"recipe {text!r} is named twice ({recipe}): a study measures a variant once",
            )
        reason = recipes.refusal(recipe, framework)
        if reason:
            raise Refused(
                refusal_pb2.REFUSAL_REASON_UNKNOWN_RECIPE,
                f"{recipe} can't be carried out: {reason} (`edgemeter model show` lists what can)",
            )
        read[str(recipe)] = recipe
    return [
        ReadRecipe(recipe=recipe, tool_versions=identity.tool_versions(recipe, framework, installed))
        for recipe in read.values()
    ]


def check_data(model: ModelRow, dataset: DatasetRow, read: Sequence[ReadRecipe]) -> None:
    """Raises Refused where the data does not fit the model, or lacks what a recipe looks at.

    SHAPE_MISMATCH, or BAD_REQUEST.
    """
    preprocessing = model.description.preprocessing if model.description is not None else ()
    description = dataset.description
    try:
        check_fits(model.signature, list(description.inputs), description.classes, preprocessing)
    except ConversionError as error:
        raise refused(error, f"{dataset.name} does not fit {model.name}: ") from error
    if model.task and description.HasField("labels"):
        misfit = tasks.task(model.task).misfit(description.labels)
        if misfit:
            raise Refused(
                refusal_pb2.REFUSAL_REASON_SHAPE_MISMATCH,
                f"{dataset.name} does not fit {model.name}: {misfit}",
            )
    vocabulary = model.description.vocabulary_digest if model.description is not None else ""
    if vocabulary and description.vocabulary_digest not in ("", vocabulary):
        raise Refused(
            refusal_pb2.REFUSAL_REASON_SHAPE_MISMATCH,
            f"{dataset.name} was made with another tokenizer than {model.name}'s (vocabulary "
            f"{description.vocabulary_digest[:12]}, not {vocabulary[:12]}): add the text again with "
            f"--tokenizer {model.name}",
        )
    for each in read:
        if recipes.needs_training(each.recipe):
            _check_split(each, dataset, "training")
            if description.classes == 1 and model.task:
                raise Refused(
                    refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
                    f"{each} needs training samples of several classes, and all in {dataset.name} have "
                    "label 0",
                )
        if recipes.needs_calibration(each.recipe):
            _check_split(each, dataset, "calibration")


def _check_split(each: ReadRecipe, dataset: DatasetRow, split: str) -> None:
    if dataset.samples(split) == 0:
        raise Refused(
            refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
            f"{each} needs {split} samples, and {dataset.name} has none: give data with some, or leave out "
            "that recipe",
        )
