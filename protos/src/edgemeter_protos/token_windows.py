"""What a language model is scored by, the same on the coordinator and on a board: windows of tokens, and how
likely each token is after those before it in its window. Pure.

Needs numpy only where something is computed, and asks no more of it than 1.24 has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgemeter_protos.v1 import variant_pb2

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WINDOW_TOKENS = 256
"""Each but the first is told by those before it, so that a window gives one number less."""

INPUT, OUTPUT = "token_ids", "nll"


def signature() -> variant_pb2.Signature:
    """token_ids int32 (-1, 256) -> nll float32 (-1, 255), `negative_log_likelihood` of a window's tokens.

    Log-probabilities of whole vocabularies are never given: a window's are 50 MB.
    """
    return variant_pb2.Signature(
        inputs=[variant_pb2.TensorSpec(name=INPUT, dtype="int32", shape=[-1, WINDOW_TOKENS])],
        outputs=[variant_pb2.TensorSpec(name=OUTPUT, dtype="float32", shape=[-1, WINDOW_TOKENS - 1])],
    )


def negative_log_likelihood(logits: NDArray[Any], following: NDArray[Any]) -> NDArray[np.float64]:
    """In nats, (following,), of the token that follows each position: log(sum(exp(logits))) minus its logit.

    Sums are made in float64, a row at a time: all rows' exponentials would take as much memory again.

    Args:
        logits: (positions, vocabulary), of what comes after each position. After the last of a window nothing
            follows: a row more than there are tokens is not looked at.
        following: token ids, (positions,) or one less.
    """
    import numpy as np

    nll = np.empty(len(following), np.float64)
    for at, (row, token) in enumerate(zip(logits[: len(following)], following, strict=True)):
        highest = float(row.max())
        nll[at] = highest + np.log(np.exp(row - highest).sum(dtype=np.float64)) - float(row[token])
    return nll
