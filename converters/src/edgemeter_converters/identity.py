"""What makes a variant the variant that it is: the key under which it is built once and found again.

Nothing here imports a framework, so the service calls it too.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from types import MappingProxyType

from edgemeter_converters import recipes
from edgemeter_converters.formats import FORMATS
from edgemeter_converters.recipes import Recipe
from edgemeter_converters.steps.call import StepCall

_ID_CHARACTERS = 16

_TRAINING_TOOLS = MappingProxyType(
    {
        "keras": (("keras",), ("tensorflow", "tensorflow-cpu")),
        "torch": (("torch",), ("torch-pruning",)),
        "llama": (("torch",), ("transformers",), ("peft",)),
    }
)
"""Distributions that shape what a step leaves, by framework; each under any of several names."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What a recipe is carried out on.

    Attributes:
        model_digest: of the original's file.
        framework: of the original.
        preprocessing: a serialized `Preprocessing` for each input, or none.
        training_digest, calibration_digest, evaluation_digest: of the data's splits; empty for no data. The
            first two count only where the recipe looks at those samples.
        task: what the model is for, where that is not what its signature tells; it shapes the manifest.
        seed: of whatever is random.
    """

    model_digest: str
    framework: str
    preprocessing: tuple[bytes, ...] = ()
    training_digest: str = ""
    calibration_digest: str = ""
    evaluation_digest: str = ""
    task: str = ""
    seed: int


def installed_versions() -> dict[str, str]:
    """Versions of the distributions that are installed where this runs, by their normalized names."""
    return {
        each.name.lower().replace("_", "-"): each.version for each in metadata.distributions() if each.name
    }


def tool_versions(recipe: Recipe, framework: str, installed: Mapping[str, str]) -> dict[str, str]:
    """Versions of what shapes the recipe's artifact, by distribution; one not installed is left out. Pure."""
    tools = list(FORMATS[recipe.format].tools(framework, recipes.precision(recipe)))
    if recipes.transforms(recipe):
        tools += _TRAINING_TOOLS.get(framework, ())
    return _versions(tools, installed)


def variant_id(sources: Sources, recipe: Recipe, tool_versions: Mapping[str, str]) -> str:
    """16 hexadecimal digits of SHA-256 over all that manifest and artifact follow from. Pure."""
    return _digest(
        [
            *_origin(sources),
            str(recipe),
            sources.training_digest if recipes.needs_training(recipe) else "",
            sources.calibration_digest if recipes.needs_calibration(recipe) else "",
            sources.evaluation_digest,
            sorted(tool_versions.items()),
        ]
    )


def stage_ids(
    sources: Sources, recipe: Recipe, installed: Mapping[str, str]
) -> tuple[tuple[StepCall, str], ...]:
    """The recipe's steps that change the model, each with the key of what it and those before it leave. Pure.

    Recipes that begin alike have the same keys for as long as they do.
    """
    tools = sorted(_versions(_TRAINING_TOOLS.get(sources.framework, ()), installed).items())
    calls = recipes.transforms(recipe)
    keys = []
    for count, call in enumerate(calls, start=1):
        begun = calls[:count]
        trained = any(recipes.trains(each) for each in begun)
        steps = [str(recipes.transforming(each)) for each in begun]
        keys.append(
            (call, _digest([*_origin(sources), steps, sources.training_digest if trained else "", tools]))
        )
    return tuple(keys)


def _origin(sources: Sources) -> list[object]:
    preprocessing = [each.hex() for each in sources.preprocessing]
    # Only where it is told: what was built before there were tasks to tell keeps its key.
    task = [sources.task] if sources.task else []
    return [sources.model_digest, sources.framework, preprocessing, sources.seed, *task]


def _versions(tools: Sequence[tuple[str, ...]], installed: Mapping[str, str]) -> dict[str, str]:
    versions = {"edgemeter-converters": metadata.version("edgemeter-converters")}
    for names in tools:
        found = next((installed[name] for name in names if name in installed), None)
        if found is not None:
            versions[names[0]] = found
    return versions


def _digest(facts: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:_ID_CHARACTERS]
