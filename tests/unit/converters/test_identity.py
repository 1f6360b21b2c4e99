from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import pytest

from edgemeter_converters import recipes
from edgemeter_converters.identity import Sources, stage_ids, tool_versions, variant_id

VERSIONS = {"tensorflow": "2.21.0", "keras": "3.15.1"}
INSTALLED = {**VERSIONS, "torch": "2.13.0", "torch-pruning": "1.6.1", "ai-edge-litert": "2.3.0"}
SOURCES = Sources(
    model_digest="m" * 64,
    framework="keras",
    training_digest="t" * 64,
    calibration_digest="c" * 64,
    evaluation_digest="e" * 64,
    seed=1,
)


def identity(recipe: str = "int8", versions: Mapping[str, str] = VERSIONS, **changes: Any) -> str:
    return variant_id(dataclasses.replace(SOURCES, **changes), recipes.parse(recipe), versions)


def stages(recipe: str, **changes: Any) -> list[str]:
    sources = dataclasses.replace(SOURCES, **changes)
    return [key for _, key in stage_ids(sources, recipes.parse(recipe, sources.framework), INSTALLED)]


def test_is_16_hexadecimal_digits() -> None:
    assert re.fullmatch("[0-9a-f]{16}", identity())


@pytest.mark.parametrize(
    "changes",
    [
        {"model_digest": "n" * 64},
        {"framework": "torch"},
        {"preprocessing": (b"x",)},
        {"recipe": "int16x8"},
        {"calibration_digest": "d" * 64},
        {"evaluation_digest": ""},
        {"versions": {**VERSIONS, "keras": "3.16.0"}},
        {"seed": 2},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_everything_counts(changes: dict[str, Any]) -> None:
    assert identity(**changes) != identity()


@pytest.mark.parametrize(
    ("recipe", "split", "counts"),
    [
        ("float16", "calibration_digest", False),
        ("int8", "calibration_digest", True),
        ("int8", "training_digest", False),
        ("prune(0.5)", "training_digest", True),
        ("prune(0.5,epochs=0)", "training_digest", False),
        ("int8(auto_keep=0.01)", "training_digest", True),
    ],
)
def test_samples_count_only_where_they_are_looked_at(recipe: str, split: str, counts: bool) -> None:
    changed: dict[str, Any] = {split: "z" * 64}
    assert (identity(recipe, **changed) != identity(recipe)) is counts


def test_neither_the_recipe_s_spelling_nor_the_order_of_tools_counts() -> None:
    assert identity(" INT8 @tflite") == identity("int8")
    assert identity("prune(50%)") == identity("prune")
    assert identity(versions=dict(reversed(VERSIONS.items()))) == identity()


def test_facts_do_not_run_into_each_other() -> None:
    assert identity(model_digest="ab", evaluation_digest="c") != identity(
        model_digest="a", evaluation_digest="bc"
    )


def test_tool_versions_name_what_makes_the_artifact() -> None:
    versions = tool_versions(recipes.parse("int8"), "keras", INSTALLED)
    assert {"edgemeter-converters", "ai-edge-litert", "keras", "tensorflow"} <= set(versions)
    assert "torch-pruning" not in versions


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("prune(0.5)", "prune(0.5)+int8", 1),
        ("prune(0.5)+int8", "prune(0.5)+float16@tflite", 1),
        ("prune(0.5)+cluster(16)", "prune(0.5)+cluster(8)", 1),
        ("prune(0.5)", "prune(0.6)", 0),
        ("prune(0.5)", "prune(0.5,epochs=9)", 0),
        # What only says how to encode changes nothing before it.
        ("qat", "qat(per_tensor)", 1),
        ("low-rank(0.5)+prune(0.5)", "prune(0.5)", 0),
    ],
)
def test_recipes_that_begin_alike_share_stages(first: str, second: str, shared: int) -> None:
    same = [one == other for one, other in zip(stages(first), stages(second), strict=False)]
    assert sum(same) == shared


def test_a_stage_follows_from_model_data_tools_and_seed() -> None:
    assert stages("int8") == []
    changes: list[dict[str, Any]] = [
        {"model_digest": "n"},
        {"framework": "torch"},
        {"training_digest": "u"},
        {"seed": 2},
    ]
    for change in changes:
        assert stages("prune(0.5)", **change) != stages("prune(0.5)")
    assert stages("prune(0.5)", evaluation_digest="f") == stages("prune(0.5)")
    untrained = "prune(0.5,epochs=0)"
    assert stages(untrained, training_digest="u") == stages(untrained)
