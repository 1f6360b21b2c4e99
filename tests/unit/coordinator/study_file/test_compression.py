"""The comparison that is shipped: its models are in the zoo, and its recipes suit them."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemeter_converters import recipes, zoo
from edgemeter_coordinator.study_file import reading
from edgemeter_coordinator.study_file.wanted import wanted

PATH = Path(__file__).parents[4] / "studies" / "compression.toml"
FILE = reading.read(PATH)

FRAMEWORKS = {
    ".keras": "keras",
    ".h5": "keras",
    ".torchmodule": "torch",
    ".zip": "saved_model",
    ".gguf": "llama",
}
"""Of the zoo's files; a .zip is a SavedModel there."""


def test_every_application_has_its_models() -> None:
    parts = {part.name: zoo.ENTRIES[part.model.source].application for part in FILE.parts}
    assert set(parts.values()) == set(zoo.APPLICATIONS)
    # All that the zoo has.
    assert set(parts) == set(zoo.ENTRIES)


@pytest.mark.parametrize("quick", [False, True])
def test_every_recipe_suits_its_model(quick: bool) -> None:
    for each in wanted(FILE, quick=quick):
        framework = FRAMEWORKS[zoo.ENTRIES[each.part.model.source].model_suffix]
        read = [recipes.parse(text, framework) for text in each.recipes]
        assert {str(one): recipes.refusal(one, framework) for one in read} == dict.fromkeys(
            map(str, read), ""
        )


def test_a_quick_run_has_one_of_each_application() -> None:
    kept = [zoo.ENTRIES[each.part.model.source].application for each in wanted(FILE, quick=True)]
    assert sorted(kept) == sorted(zoo.APPLICATIONS)
    assert all(each.plan.profile == "quick" for each in wanted(FILE, quick=True))
