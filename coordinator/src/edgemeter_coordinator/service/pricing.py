"""What a study would cost: which stages are kept, and about how long building the rest takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from edgemeter_converters import recipes
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.recipes import Recipe
from edgemeter_converters.steps import STEPS
from edgemeter_coordinator.conversion.ground import Ground
from edgemeter_coordinator.conversion.history import Past, Work, estimate_ns
from edgemeter_coordinator.conversion.stages import Stages, Wanted, wanted
from edgemeter_coordinator.store import models, stages, variants
from edgemeter_coordinator.store.database import Database

REMEMBERED = 1000
"""Variants and stages that estimates are made from, the newest."""

_UNENCODED = "float32"


@dataclass(frozen=True, kw_only=True, slots=True)
class Price:
    """Of one variant that has to be built.

    Attributes:
        reused_steps: at its recipe's beginning, whose result is kept: "prune(0.5)"; empty for none.
        duration_ms: None where nothing is known of a part of it. What several variants share is in the
            first one's.
    """

    reused_steps: str
    duration_ms: int | None


async def prices(
    database: Database,
    kept_stages: Stages,
    on: Ground,
    parameters: int,
    building: Sequence[tuple[str, Recipe]],
    installed: Mapping[str, str],
) -> dict[str, Price]:
    """By id, of the variants that would be built, in their order."""
    past = await database.transact(_past)
    paid: set[str] = set()
    found = {}
    for variant_id, recipe in building:
        chain = wanted(on, recipe, installed)
        kept = await kept_stages.kept(chain)
        to_do = [each for each in chain[len(kept) :] if each.id not in paid]
        paid.update(each.id for each in to_do)
        found[variant_id] = Price(
            reused_steps=kept[-1].steps if kept else "",
            duration_ms=_duration_ms(to_do, recipe, on.source.digest, parameters, past),
        )
    return found


def encoding_of(recipe: Recipe) -> str:
    """The step and the format by which a recipe's network is encoded: "int8@tflite". Pure."""
    last = recipe.steps[-1]
    step = str(last) if STEPS[last.name].precision is not None else _UNENCODED
    return f"{step}@{recipe.format}"


def _duration_ms(
    to_do: Sequence[Wanted], recipe: Recipe, model_digest: str, parameters: int, past: Sequence[Past]
) -> int | None:
    texts = [*(each.step for each in to_do), encoding_of(recipe)]
    parts = [
        estimate_ns(Work(text=text, model_digest=model_digest, parameters=parameters), past) for text in texts
    ]
    known = [part for part in parts if part is not None]
    return round(sum(known) / 1e6) if len(known) == len(parts) else None


def _past(connection: Connection) -> list[Past]:
    parameters = {row.digest: row.parameters for row in models.every(connection)}
    found = []
    for stage in stages.newest(connection, REMEMBERED):
        work = Work(
            text=stage.stage.step,
            model_digest=stage.model_digest,
            parameters=parameters.get(stage.model_digest, 0),
        )
        found.append(Past(work=work, duration_ns=stage.stage.duration_ns))
    for variant in variants.newest(connection, REMEMBERED, state="ready"):
        if variant.manifest is None:
            continue
        try:
            text = encoding_of(recipes.parse(variant.recipe))
        except ConversionError:
            continue  # of an earlier edgemeter, which had other recipes
        work = Work(
            text=text, model_digest=variant.model_digest, parameters=parameters.get(variant.model_digest, 0)
        )
        found.append(Past(work=work, duration_ns=variant.manifest.conversion_duration_ns))
    return found
