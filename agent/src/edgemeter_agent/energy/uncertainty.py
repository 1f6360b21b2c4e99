"""What the energy of an inference may be wrong by: pure functions on numbers.

After the "Guide to the expression of uncertainty in measurement" (GUM, JCGM 100:2008): each part is one
standard uncertainty with its degrees of freedom, parts add in squares (5.1.2), and a 95 % interval is
Student's t for the effective degrees of freedom by Welch and Satterthwaite (G.4.1) times the sum.

Of a window of T seconds, with energy E:
u²(E) = (gain E)² + (offset T)² + (step T)² / (12 n_eff) + (ΔP dt)² of the edges + s² / n over the windows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgemeter_agent.statistics.distributions import student_t_quantile

GAIN, OFFSET, RESOLUTION, EDGES = "gain", "offset", "resolution", "edges"
DRIFT, REPEATS, ALIGNMENT = "drift", "repeats", "alignment"

LAG_ERROR = 0.10
"""Standard uncertainty of a meter's time constant, as a share: it is computed from how many samples the chip
averages, by its own clock, and published as a nominal figure. A judgement (GUM 4.3)."""
MAX_FREEDOM = 1e6
"""Beyond it Student's t is the normal distribution."""
BATCHES = 5
"""Pieces of one window or idle span whose means tell how it varies."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """One standard uncertainty and its degrees of freedom: infinite for what was not found by repeating."""

    u: float
    freedom: float = math.inf


def combined(parts: Iterable[Part]) -> Part:
    """The root of the sum of squares, and Welch and Satterthwaite's degrees of freedom (GUM G.2b)."""
    parts = list(parts)
    u2 = sum(part.u**2 for part in parts)
    inverse = sum(part.u**4 / part.freedom for part in parts if part.u > 0)
    return Part(math.sqrt(u2), u2**2 / inverse if inverse > 0 else math.inf)


def half_width_95(parts: Mapping[str, Part]) -> float:
    """Half of the 95 % interval, by Student's t for degrees of freedom that need not be whole (GUM G.4.1)."""
    total = combined(parts.values())
    return student_t_quantile(0.975, min(max(total.freedom, 1.0), MAX_FREEDOM)) * total.u


def resolution_mw(step_mw: float, readings: Sequence[Numbers]) -> float:
    """Standard uncertainty of a mean over readings that were rounded to steps.

    Rounding errors average out only where noise moves readings over the steps: `readings` are windows (or
    idle spans) of about the same power, and n_eff = 1 / (exp(-(2 pi sigma / step)²) + 1 / n), with n runs of
    equal readings: one that did not move is wrong by what the one before it was. The exponential is the
    square of the first harmonic that noise of standard deviation sigma leaves of the rounding error (Widrow &
    Kollar, "Quantization Noise", 2008, chapter 4): a quiet rail is wrong by the same fraction of a step each
    time, and sigma of half a step makes that vanish.
    """
    readings = [part for part in readings if part.size]
    if step_mw <= 0 or not readings:
        return 0.0
    # Rounding itself spreads readings by step² / 12, which moves nothing over a step.
    spread = float(np.average([np.var(part) for part in readings], weights=[part.size for part in readings]))
    runs = sum(1 + int(np.count_nonzero(np.diff(part))) for part in readings)
    sigma2 = max(spread - step_mw**2 / 12, 0.0)
    independent = max(1 / (math.exp(-((2 * math.pi) ** 2) * sigma2 / step_mw**2) + 1 / runs), 1.0)
    return step_mw / math.sqrt(12 * independent)


def repeats(energies: Sequence[float], inferences: Sequence[float]) -> Part:
    """Of the ratio sum(energies) / sum(inferences), by how windows differ from it; for two windows at least.

    s² / n, weighted by the windows' inferences (ratio estimator: Cochran, "Sampling Techniques", 1977, 2.11).
    """
    energy, weight = np.asarray(energies, np.float64), np.asarray(inferences, np.float64)
    count = energy.size
    if count < 2 or weight.sum() <= 0:
        raise ValueError("how windows differ takes two of them")
    residual = energy - energy.sum() / weight.sum() * weight
    u2 = count / (count - 1) * float(np.sum(residual**2)) / float(weight.sum()) ** 2
    return Part(math.sqrt(u2), count - 1)


def batch_means(powers: Numbers) -> Part:
    """Of the mean of readings that hang together in time: by the means of 5 pieces in a row (Law & Kelton,
    "Simulation Modeling and Analysis", 9.5.3). No uncertainty for fewer than two readings a piece."""
    if powers.size < 2 * BATCHES:
        return Part(0.0)
    means = np.array([piece.mean() for piece in np.array_split(powers, BATCHES)])
    return Part(float(means.std(ddof=1)) / math.sqrt(BATCHES), BATCHES - 1)


def rectangular(width: float) -> float:
    """Standard uncertainty of what lies anywhere in an interval `width` wide (GUM 4.3.7)."""
    return abs(width) / math.sqrt(12)
