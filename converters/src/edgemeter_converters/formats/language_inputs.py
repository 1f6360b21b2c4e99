"""Inputs of language models, looked at before any runtime looks up what they stand for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import refusal_pb2


def checked(inputs: Sequence[NDArray[Any]], vocabulary: int) -> NDArray[Any]:
    """Windows of token ids that a model of so many tokens knows.

    Raises:
        ConversionError: NOT_A_DATASET, one that it does not know.
    """
    (windows,) = inputs
    low, high = (int(windows.min()), int(windows.max())) if windows.size else (0, 0)
    if low < 0 or high >= vocabulary:
        raise ConversionError(
            f"token id {high if high >= vocabulary else low} is none of the model's {vocabulary:,}: the text "
            "was cut into tokens by a tokenizer that does not match",
            reason=refusal_pb2.REFUSAL_REASON_NOT_A_DATASET,
        )
    return windows
