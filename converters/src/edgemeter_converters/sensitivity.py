"""Which layers to leave in float, so that quality drops by no more than a bound.

Each layer's sensitivity is what quantizing it alone does to the model's outputs (as in Wu et al., Integer
quantization for deep learning inference, arXiv:2004.09602, section 5.2): the noise that it adds, as a share
of the signal. Layers are then left in float from the most sensitive on, as few as the bound allows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

Drop = Callable[[tuple[str, ...]], float]
"""By how much quality drops where these layers are left in float."""


def by_sensitivity(noise: Mapping[str, float]) -> tuple[str, ...]:
    """Layers, the most sensitive first; those that are alike in the order given. Pure.

    Args:
        noise: of each layer when it alone is quantized.
    """
    return tuple(sorted(noise, key=lambda layer: -noise[layer]))


def fewest_kept(layers: Sequence[str], drop: Drop, bound: float) -> tuple[str, ...] | None:
    """The shortest beginning of `layers` that, left in float, keeps the drop within `bound`; None where even
    all of them do not.

    Doubles the number until it is enough, then halves the gap: about 2 log2(n) trials, each of which costs a
    conversion. It takes for granted that more layers in float never do harm, which noise may break by a
    layer or two.
    """
    if drop(()) <= bound:
        return ()
    too_few, count = 0, 1
    while drop(tuple(layers[:count])) > bound:
        if count >= len(layers):
            return None
        too_few, count = count, min(2 * count, len(layers))
    while count - too_few > 1:
        middle = (too_few + count) // 2
        if drop(tuple(layers[:middle])) <= bound:
            count = middle
        else:
            too_few = middle
    return tuple(layers[:count])
