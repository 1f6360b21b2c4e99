"""What the shell offers while a recipe is typed."""

from __future__ import annotations

import pytest

from edgemeter_coordinator.cli.completion import complete_recipe, complete_step


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("flo", ["float32", "float16"]),
        ("prune(0.5)+int", ["prune(0.5)+int8", "prune(0.5)+int16x8", "prune(0.5)+int4"]),
        ("int8@tf", ["int8@tflite"]),
        ("xyz", []),
    ],
)
def test_recipes(typed: str, offered: list[str]) -> None:
    assert sorted(complete_recipe(typed)) == sorted(offered)


def test_every_step_is_offered_with_its_example() -> None:
    assert {"prune(0.5)", "float32", "int8"} <= set(complete_recipe(""))


def test_steps_by_name() -> None:
    assert sorted(complete_step("prune")) == ["prune", "prune-channels", "prune-layers", "prune-width"]
