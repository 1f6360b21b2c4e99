"""95 % intervals of metrics."""

from __future__ import annotations

import math

_Z_95 = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""


def wilson_interval(correct: int, samples: int, z: float = _Z_95) -> tuple[float, float]:
    """Interval of a proportion, both ends in [0, 1]: 95 % with the usual `z`.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, JASA 22 (1927);
    chosen after Brown, Cai and DasGupta, Statistical Science 16 (2001), for being right near 0 and 1 too.
    """
    share = correct / samples
    denominator = 1 + z * z / samples
    centre = (share + z * z / (2 * samples)) / denominator
    half = z / denominator * math.sqrt(share * (1 - share) / samples + z * z / (4 * samples * samples))
    # At 0 and 1 the formula's own end is exact; rounding must not leave the share outside.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))
