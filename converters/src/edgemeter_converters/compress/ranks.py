"""How much of a layer low-rank factors keep. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

SMALLEST_RANK = 8
"""A layer that would be left with less stays whole, unless it has no more channels: so thin a neck saves
little and loses most, as in front of ten classes, and vector units work on eight numbers at once."""


def rank_of(
    values: Sequence[float],
    rows: int,
    columns: int,
    *,
    budget: float,
    energy: float | None,
    rank: int | None = None,
) -> int | None:
    """Rank of a matrix's two factors; None where they would be too thin, or no smaller than the matrix.

    Args:
        values: its singular values, the largest first.
        budget: share of its size that the factors may have.
        energy: in place of a budget: share of the squared singular values to keep.
        rank: in place of both: itself, however thin.
    """
    if rank is not None:
        return rank if rank * (rows + columns) < rows * columns else None
    if energy is None:
        rank = int(budget * rows * columns / (rows + columns))
    else:
        rank = max(_enough(_lost(values), 1 - energy), SMALLEST_RANK)
    return rank if rank >= SMALLEST_RANK and rank * (rows + columns) < rows * columns else None


def ranks_of(
    input_values: Sequence[float],
    output_values: Sequence[float],
    *,
    inputs: int,
    outputs: int,
    kernel: int,
    budget: float,
    energy: float | None,
    rank: int | None = None,
) -> tuple[int, int] | None:
    """Input and output rank of a convolution's Tucker-2 factors; None where they would be too thin, or no
    smaller.

    The error of a truncated higher-order SVD is at most the sum of what each mode loses (De Lathauwer et al.,
    2000, property 10): within a budget that sum is made the smallest, and for an energy each mode may lose
    half.

    Args:
        input_values, output_values: singular values of the weight unfolded along that dimension, the largest
            first.
        inputs, outputs: channels.
        kernel: weights of one filter for one channel: 9 for 3 by 3.
        budget: share of the layer's size that the factors may have.
        energy: in place of a budget: share of the squared singular values to keep.
        rank: in place of both: of input and output, as far as there are so many channels.
    """
    size = inputs * outputs * kernel
    lost_in, lost_out = _lost(input_values), _lost(output_values)
    least_in, least_out = (min(SMALLEST_RANK, len(each)) for each in (input_values, output_values))
    if rank is not None:
        ranks = min(rank, len(input_values)), min(rank, len(output_values))
        return ranks if _size(*ranks, inputs, outputs, kernel) < size else None
    if energy is not None:
        first, second = (_enough(each, (1 - energy) / 2) for each in (lost_in, lost_out))
        ranks = max(first, least_in), max(second, least_out)
        return ranks if _size(*ranks, inputs, outputs, kernel) < size else None
    best: tuple[float, int, int] | None = None
    for first in range(least_in, len(input_values) + 1):
        second = int((budget * size - _neck(first, inputs)) / (first * kernel + outputs))
        second = min(second, len(output_values))
        if second < least_out:
            continue
        candidate = (lost_in[first] + lost_out[second], first, second)
        if best is None or candidate < best:
            best = candidate
    if best is None or _size(best[1], best[2], inputs, outputs, kernel) >= size:
        return None
    return best[1], best[2]


def _size(first: int, second: int, inputs: int, outputs: int, kernel: int) -> int:
    return _neck(first, inputs) + first * second * kernel + second * outputs


def _neck(first: int, inputs: int) -> int:
    """Size of the factor in front, which one that keeps all inputs has no need of."""
    return inputs * first if first < inputs else 0


def _lost(values: Sequence[float]) -> list[float]:
    """By the rank, from 0: the share of the squared singular values that it cuts off."""
    squares = [value**2 for value in values]
    total = sum(squares) or 1.0
    return [1 - kept / total for kept in accumulate(squares, initial=0.0)]


def _enough(lost: Sequence[float], allowed: float) -> int:
    """The lowest rank, at least 1, that loses no more than allowed."""
    return next((rank for rank in range(1, len(lost)) if lost[rank] <= allowed), max(1, len(lost) - 1))
