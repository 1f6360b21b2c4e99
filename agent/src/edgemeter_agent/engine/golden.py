"""Whether a device's outputs are those that the converted file must give: pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, kw_only=True)
class Comparison:
    matches: bool
    max_absolute_error: float
    expected: float
    """Of the element that comes nearest to exceeding its tolerance, or exceeds it most."""
    actual: float


def compare(
    expected: Sequence[npt.NDArray[np.generic]],
    actual: Sequence[npt.NDArray[np.generic]],
    absolute_tolerance: float,
    relative_tolerance: float,
) -> Comparison:
    """|actual - expected| <= absolute + relative * |expected|, for every element of every output.

    A NaN or an infinity matches only its like. Raises ValueError where the outputs differ in number or shape,
    or hold nothing.
    """
    if len(expected) != len(actual):
        raise ValueError(f"the golden pair has {len(expected)} outputs, and the model gave {len(actual)}")
    for number, (golden, given) in enumerate(zip(expected, actual, strict=True)):
        if golden.shape != given.shape:
            raise ValueError(
                f"golden output {number} has shape {list(golden.shape)},"
                f" and the model gave {list(given.shape)}"
            )
    wanted, got = _flat(expected), _flat(actual)
    if not wanted.size:
        raise ValueError("the golden pair has no output elements")
    alike = (wanted == got) | (np.isnan(wanted) & np.isnan(got))
    with np.errstate(invalid="ignore"):
        error = np.where(alike, 0.0, np.nan_to_num(np.abs(got - wanted), nan=np.inf, posinf=np.inf))
    finite = np.nan_to_num(np.abs(wanted), nan=0.0, posinf=0.0)
    excess = error - (absolute_tolerance + relative_tolerance * finite)
    worst = int(np.argmax(excess))
    return Comparison(
        matches=bool(excess[worst] <= 0),
        max_absolute_error=float(error.max()),
        expected=float(wanted[worst]),
        actual=float(got[worst]),
    )


def filled_up(
    expected: Sequence[npt.NDArray[np.generic]], samples: int, batch_size: int
) -> list[npt.NDArray[np.generic]]:
    """What whole batches of `samples` golden samples must give, where the last one is filled up with the
    first samples. As it is for batches of one; raises ValueError for outputs of another number of samples."""
    if batch_size == 1:
        return list(expected)
    if any(len(output) != samples for output in expected):
        raise ValueError(
            f"the golden pair has {samples} inputs and {len(expected[0])} outputs: they can't be told"
            f" apart in a batch of {batch_size}"
        )
    rows = np.arange(-(-samples // batch_size) * batch_size) % samples
    return [output[rows] for output in expected]


def _flat(outputs: Sequence[npt.NDArray[np.generic]]) -> npt.NDArray[np.float64]:
    return np.concatenate([output.astype(np.float64).ravel() for output in outputs])
