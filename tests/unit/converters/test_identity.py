from __future__ import annotations

import re

import pytest

from edgemeter_converters import recipes
from edgemeter_converters.identity import tool_versions, variant_id

VERSIONS = {"tensorflow": "2.21.0", "keras": "3.15.1"}


def identity(recipe: str = "int8", **changes: object) -> str:
    facts: dict[str, object] = {
        "model_digest": "m" * 64,
        "calibration_digest": "c" * 64,
        "evaluation_digest": "e" * 64,
        "tool_versions": VERSIONS,
        "seed": 1,
    }
    return variant_id(recipe=recipes.parse(recipe), **{**facts, **changes})  # type: ignore[arg-type]


def test_is_16_hexadecimal_digits() -> None:
    assert re.fullmatch("[0-9a-f]{16}", identity())


@pytest.mark.parametrize(
    "changes",
    [
        {"model_digest": "n" * 64},
        {"recipe": "int16x8"},
        {"calibration_digest": "d" * 64},
        {"evaluation_digest": ""},
        {"tool_versions": {**VERSIONS, "keras": "3.16.0"}},
        {"seed": 2},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_everything_counts(changes: dict[str, object]) -> None:
    assert identity(**changes) != identity()  # type: ignore[arg-type]


def test_calibration_counts_only_where_it_is_used() -> None:
    assert identity("float16", calibration_digest="d" * 64) == identity("float16")


def test_neither_the_recipe_s_spelling_nor_the_order_of_tools_counts() -> None:
    assert identity(" INT8 @tflite") == identity("int8")
    assert identity(tool_versions=dict(reversed(VERSIONS.items()))) == identity()


def test_facts_do_not_run_into_each_other() -> None:
    assert identity(model_digest="ab", evaluation_digest="c") != identity(
        model_digest="a", evaluation_digest="bc"
    )


def test_tool_versions_name_what_makes_the_artifact() -> None:
    assert {"edgemeter-converters", "ai-edge-litert", "keras", "tensorflow"} == set(
        tool_versions(recipes.parse("int8"))
    )
