"""How a language model that writes is timed. Pure."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from edgemeter_protos.v1 import variant_pb2

PROMPT_TOKENS = 64

NEW_TOKENS = 48

CONTEXT_TOKENS = 128
"""Next after both together that is a multiple of what llama.cpp rounds contexts to, 32."""


def generation(windows: NDArray[Any]) -> variant_pb2.Generation:
    """What every device writes: on from the first evaluation window's beginning.

    Args:
        windows: (windows, tokens), token ids; at least one, of at least PROMPT_TOKENS tokens.
    """
    return variant_pb2.Generation(
        prompt_ids=[int(token) for token in windows[0][:PROMPT_TOKENS]],
        new_tokens=NEW_TOKENS,
        context_tokens=CONTEXT_TOKENS,
    )
