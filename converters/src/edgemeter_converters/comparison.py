"""How far a variant's outputs are from its original's. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_protos.v1 import variant_pb2


def output_error(
    original: Sequence[NDArray[Any]], variant: Sequence[NDArray[Any]]
) -> variant_pb2.OutputError:
    """Over all outputs, each (samples, …), real values."""
    signal = noise = largest = 0.0
    for theirs, ours in zip(original, variant, strict=True):
        difference = theirs.astype(np.float64) - ours
        signal += float(np.sum(np.square(theirs, dtype=np.float64)))
        noise += float(np.sum(np.square(difference)))
        largest = max(largest, float(np.abs(difference).max(initial=0.0)))
    decibels = 10 * math.log10(signal / noise) if noise and signal else None
    return variant_pb2.OutputError(max_absolute=largest, sqnr_db=decibels, samples=len(original[0]))
