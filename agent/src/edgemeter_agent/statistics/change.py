"""Does a series change somewhere, and where: a test that noise with a memory does not fool."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

MIN_POINTS = 12
EDGE_POINTS = 3
"""Fewest points on either side of a change."""
SIMULATIONS = 399
MAX_CORRELATION = 0.95
SPIKE_SCALE = 3.5 * 1.4826
"""Of the median absolute deviation: the threshold of an outlier."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Change:
    start: int
    """The first point after it."""
    upward: bool
    p_value: float


def find_change(values: Values, alpha: float, random: np.random.Generator) -> Change | None:
    """The change that explains most of the series, float64 [n], in the order of time; None where no change
    is not less likely than `alpha`, or where there are fewer than 12 points.

    Two shapes are fitted by least squares beginning at every point but the outermost: a step, and a slope
    from there to the end. The best is tested against no change at all. Neighbouring points are alike even
    where nothing changes (a governor, a neighbour), so the noise is taken for a first-order autoregression,
    its coefficient estimated from what the fit leaves over. The null distribution of the whole search, that
    estimate included, is simulated with it: a parametric bootstrap (Davison & Hinkley, "Bootstrap Methods and
    Their Application", 1997, sections 4.2.3 and 8.2). Single points that stick out are levelled first.
    """
    count = len(values)
    if count < MIN_POINTS:
        return None
    starts = np.arange(EDGE_POINTS, count - EDGE_POINTS + 1)
    shapes = _shapes(count, starts)
    score, pick, slope, correlation = _search(_level_spikes(values)[None, :], shapes)
    if not slope[0]:
        return None
    p_value = 0.0
    if np.isfinite(score[0]):
        # What a fit leaves over is less alike than the noise was.
        alike = float(correlation[0])
        alike = min(alike + (2 + 4 * alike) / count, MAX_CORRELATION)
        null, *_ = _search(_autoregression(random, count, alike), shapes)
        p_value = float((1 + np.count_nonzero(null >= score[0])) / (1 + SIMULATIONS))
    if p_value > alpha:
        return None
    return Change(start=int(starts[pick[0] % len(starts)]), upward=bool(slope[0] > 0), p_value=p_value)


def _shapes(count: int, starts: npt.NDArray[np.int64]) -> Values:
    """Steps, then slopes, each centred and of length 1; shape (2 * starts, count)."""
    since = np.arange(count) - starts[:, None] + 1.0
    shapes = np.concatenate([since > 0, np.maximum(since, 0)]).astype(np.float64)
    shapes -= shapes.mean(axis=1, keepdims=True)
    normed: Values = shapes / np.linalg.norm(shapes, axis=1, keepdims=True)
    return normed


def _search(series: Values, shapes: Values) -> tuple[Values, npt.NDArray[np.int64], Values, Values]:
    """Of each series, a row: how much better the best shape is than none, which it is, its height, and the
    correlation of neighbours in what it leaves over.

    The score is the explained sum of squares over the long-run variance of the rest, that of a first-order
    autoregression; infinite where nothing is left over.
    """
    centred = series - series.mean(axis=1, keepdims=True)
    heights = centred @ shapes.T
    pick = np.argmax(np.abs(heights), axis=1)
    height = heights[np.arange(len(series)), pick]
    rest = centred - height[:, None] * shapes[pick]
    squares = np.sum(rest**2, axis=1)
    negligible = 1e-18 * series.shape[1]
    noisy = squares > negligible
    safe = np.where(noisy, squares, 1.0)
    correlation = np.clip(np.sum(rest[:, 1:] * rest[:, :-1], axis=1) / safe, 0, MAX_CORRELATION)
    variance = safe / series.shape[1] * (1 + correlation) / (1 - correlation)
    height = np.where(height**2 > negligible, height, 0.0)
    return np.where(noisy, height**2 / variance, np.inf), pick, height, correlation


def _autoregression(random: np.random.Generator, count: int, correlation: float) -> Values:
    """Stationary Gaussian noise, shape (SIMULATIONS, count)."""
    noise = random.standard_normal((SIMULATIONS, count))
    noise[:, 1:] *= np.sqrt(1 - correlation**2)
    for place in range(1, count):
        noise[:, place] += correlation * noise[:, place - 1]
    return noise


def _level_spikes(values: Values) -> Values:
    """Points far from the median of the five around them, by what is usual for the series, become it."""
    padded = np.concatenate([values[:2], values, values[-2:]])
    around = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5), axis=1)
    deviations = np.abs(values - around)
    return np.where(deviations > SPIKE_SCALE * np.median(deviations), around, values)
