"""95 % intervals of metrics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def mean_interval(values: NDArray[Any]) -> tuple[float, float] | None:
    """95 % interval of the mean of independent values, by Student's t; None for fewer than two of them."""
    if len(values) < 2:
        return None
    mean = float(np.mean(values, dtype=np.float64))
    error = float(np.std(values, ddof=1, dtype=np.float64)) / math.sqrt(len(values))
    half = t_975(len(values) - 1) * error
    return mean - half, mean + half


def t_975(freedom: int) -> float:
    """The 97.5 % quantile of Student's t.

    G. W. Hill, Algorithm 396: Student's t-quantiles, CACM 13 (1970): within 1e-6 of the quantile, which has a
    closed form for one and two degrees of freedom.
    """
    if freedom < 1:
        raise ValueError(f"Student's t needs at least 1 degree of freedom, not {freedom}")
    tails = 0.05
    if freedom == 1:
        return 1 / math.tan(tails * math.pi / 2)
    if freedom == 2:
        return math.sqrt(2 / (tails * (2 - tails)) - 2)
    a = 1 / (freedom - 0.5)
    b = 48 / a**2
    c = ((20_700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * freedom
    x = d * tails
    y = x ** (2 / freedom)
    if y > 0.05 + a:
        x = -_Z_95
        y = x * x
        if freedom < 5:
            c += 0.3 * (freedom - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y * y)
    else:
        y = (
            (
                1 / (((freedom + 6) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2) * 3)
                + 0.5 / (freedom + 4)
            )
            * y
            - 1
        ) * (freedom + 1) / (freedom + 2) + 1 / y
    return math.sqrt(freedom * y)
