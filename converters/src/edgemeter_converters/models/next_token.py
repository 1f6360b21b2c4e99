"""How well a language model tells each token from those before it. Pure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def nll(logits: NDArray[Any], token_ids: NDArray[Any]) -> NDArray[np.float64]:
    """Negative log-likelihood in nats of each token but the first: (tokens - 1,).

    Args:
        logits: (tokens, vocabulary), of what comes after each token; the last row, after the whole, is not
            looked at and may be missing.
        token_ids: (tokens,).
    """
    ids = np.asarray(token_ids[1:], dtype=np.int64)
    scores = np.asarray(logits[: len(ids)])
    # Sums alone in float64: a window's scores are 50 MB in float32 as it is.
    top = scores.max(axis=1, keepdims=True)
    total = np.log(np.exp(scores - top).sum(axis=1, dtype=np.float64))
    chosen = np.take_along_axis(scores, ids[:, None], axis=1)[:, 0]
    found: NDArray[np.float64] = total + top[:, 0].astype(np.float64) - chosen.astype(np.float64)
    return found
