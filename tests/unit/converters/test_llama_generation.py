"""What a language model is asked to write."""

from __future__ import annotations

import numpy as np

from edgemeter_converters.models.llama_generation import generation


def test_a_generation_goes_on_from_the_first_window() -> None:
    asked = generation(np.arange(512, dtype=np.int32).reshape(2, 256))
    assert list(asked.prompt_ids) == list(range(64))
    assert asked.new_tokens == 48
    assert asked.context_tokens >= 64 + 48
