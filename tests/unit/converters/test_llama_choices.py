"""What steps on language models choose: widths, layers, targets, single weights."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters import recipes
from edgemeter_converters.compress.llama.widths import BLOCK, SLACK, SUPER_BLOCK, kept_width
from edgemeter_converters.compress.ranks import rank_of, ranks_of
from edgemeter_converters.exceptions import RecipeError


@pytest.mark.parametrize(
    ("width", "share", "kept"),
    [
        # SmolLM2's: whole super-blocks where these are near.
        (1536, 0.3, 1024),
        (1536, 0.15, 1280),
        (1536, 0.5, 768),
        # 1280 would be another twentieth and more: whole blocks then.
        (1536, 0.1, 1376),
        (8192, 0.25, 6144),
        (128, 0.5, 64),
        # Less than asked for would be nothing at all.
        (128, 0.05, 96),
        (100, 0.01, 96),
        (64, 0.9, 32),
        # Nothing smaller suits.
        (32, 0.5, None),
        (20, 0.5, None),
    ],
)
def test_kept_width(width: int, share: float, kept: int | None) -> None:
    assert kept_width(width, share) == kept


@given(st.integers(1, 30_000), st.floats(0.01, 0.99))
def test_kept_widths_are_smaller_and_whole_blocks(width: int, share: float) -> None:
    kept = kept_width(width, share)
    if kept is None:
        assert width <= BLOCK
        return
    assert 0 < kept < width
    assert kept % BLOCK == 0
    wanted = width * (1 - share)
    # No farther off than whole blocks make it, or for whole super-blocks' sake.
    assert abs(kept - wanted) <= max(BLOCK, SLACK * width if kept % SUPER_BLOCK == 0 else 0)


@pytest.mark.parametrize(
    ("rank", "rows", "columns", "chosen"),
    [(8, 64, 64, 8), (31, 64, 64, 31), (32, 64, 64, None), (2, 64, 64, 2), (500, 64, 64, None)],
)
def test_a_rank_that_is_given_stands(rank: int, rows: int, columns: int, chosen: int | None) -> None:
    assert rank_of((), rows, columns, budget=0.5, energy=None, rank=rank) == chosen


def test_a_rank_that_is_given_is_a_convolutions_too() -> None:
    values = [1.0] * 16
    shape = {"inputs": 16, "outputs": 16, "kernel": 9}
    assert ranks_of(values, values, **shape, budget=0.5, energy=None, rank=4) == (4, 4)
    assert ranks_of(values, values, **shape, budget=0.5, energy=None, rank=40) is None


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("lora@gguf", "lora(8)@gguf"),
        ("lora(r=4,alpha=16,epochs=1)@gguf", "lora(4)@gguf"),
        ("lora(16, targets=q_proj|v_proj, steps=20)@gguf", "lora(16,steps=20,targets=q_proj|v_proj)@gguf"),
        ("prune-layers+lora+q4_0@gguf", "prune-layers(2)+lora(8)+q4_0@gguf"),
        ("prune-width(30%)+lora@gguf", "prune-width(0.3)+lora(8)@gguf"),
        ("low-rank(r=64,epochs=0)@gguf", "low-rank(0.5,epochs=0,r=64)@gguf"),
        ("gptq@torch-llm", "gptq@torch-llm"),
    ],
)
def test_recipes_of_language_models(text: str, canonical: str) -> None:
    recipe = recipes.parse(text, "llama")
    assert str(recipe) == canonical
    assert recipes.refusal(recipe, "llama") == ""
    assert recipes.needs_training(recipe) or recipes.needs_calibration(recipe) or "low-rank" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lora+prune-layers(2)@gguf", "'prune-layers' would undo what 'lora' did"),
        ("lora(4)+lora(8)@gguf", "'lora' stands twice"),
        ("lora(0)@gguf", "'r' is 0, expected a whole number between 1 and 1024"),
        ("lora(epochs=0)@gguf", "'epochs' is 0"),
        ("lora(target=q_proj)@gguf", "did you mean 'targets'"),
        ("prune-layers(0.5)@gguf", "'layers' is '0.5', expected a whole number"),
    ],
)
def test_recipes_that_can_not_be(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipes.parse(text, "llama")


@pytest.mark.parametrize("text", ["lora@tflite", "prune-layers@tflite", "prune-width@tflite"])
def test_other_models_have_no_such_steps(text: str) -> None:
    assert "which takes a Llama language model" in recipes.refusal(recipes.parse(text, "keras"), "keras")


def test_comparisons_are_for_the_coordinator_only() -> None:
    for step in ("weight-only-int8", "dynamic", "weight-only-int4", "gptq"):
        recipe = recipes.parse(f"{step}@torch-llm", "llama")
        assert recipes.refusal(recipe, "llama") == ""
        assert recipes.runtimes(recipe, "llama") == ()
    kept = recipes.parse("weight-only-int8(keep=lm_head)@torch-llm", "llama")
    assert "leave out keep" in recipes.refusal(kept, "llama")


def test_steps_without_epochs_want_data() -> None:
    assert not recipes.may_go_without_data(recipes.parse("prune-layers(2)@gguf", "llama").steps[0])
    assert not recipes.may_go_without_data(recipes.parse("lora@gguf", "llama").steps[0])
    assert recipes.may_go_without_data(recipes.parse("prune(0.5)@gguf", "llama").steps[0])
