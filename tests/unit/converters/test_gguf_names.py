from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters.models import gguf_names, llama_shape
from tests import learning_llama


@given(st.integers(1, 6), st.integers(1, 8), st.integers(1, 5))
def test_rows_come_back_to_their_places(heads: int, half: int, columns: int) -> None:
    rows = np.arange(heads * 2 * half * columns).reshape(heads * 2 * half, columns)
    there = gguf_names.to_neighbours(rows, heads)
    np.testing.assert_array_equal(gguf_names.to_halves(there, heads), rows)


def test_what_is_half_a_head_apart_becomes_neighbours() -> None:
    rows = np.arange(8)[:, None]
    # Two heads of four: pairs (0, 2), (1, 3) and (4, 6), (5, 7).
    assert gguf_names.to_neighbours(rows, 2)[:, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_every_tensor_has_a_name_of_its_own() -> None:
    shape = llama_shape.from_config(
        learning_llama.SHAPE | {"model_type": "llama", "tie_word_embeddings": False}, "m"
    )
    names = [gguf_names.gguf_name(name) for name in shape.tensors()]
    assert len(set(names)) == len(names)
    assert {"token_embd.weight", "output.weight", "output_norm.weight", "blk.2.ffn_down.weight"} < set(names)


def test_only_queries_and_keys_are_rotated() -> None:
    shape = llama_shape.from_config(learning_llama.SHAPE | {"model_type": "llama"}, "m")
    rotated = {
        name.split(".")[-2]: gguf_names.rotated_heads(name, shape)
        for name in shape.tensors()
        if gguf_names.rotated_heads(name, shape)
    }
    assert rotated == {"q_proj": 4, "k_proj": 2}
