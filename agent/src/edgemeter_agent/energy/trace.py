"""What a meter said while something ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgemeter_agent.meters import Reading


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Readings in the order in which they came, faults left out of the arrays.

    Attributes:
        monotonic_ns: int64 [readings], of this board's clock.
        total_mw: float64 [readings].
        rails_mw: float64 [readings, rails]; NaN for a rail that could not be read.
        counter_uj: float64 [readings]; empty where the meter counts none.
        faults: (monotonic_ns, code) of readings that gave no number.
    """

    monotonic_ns: npt.NDArray[np.int64]
    total_mw: npt.NDArray[np.float64]
    rails_mw: npt.NDArray[np.float64]
    counter_uj: npt.NDArray[np.float64]
    faults: tuple[tuple[int, str], ...] = ()


def trace_of(readings: Sequence[Reading], rails: int) -> Trace:
    good = [reading for reading in readings if reading.total_mw is not None]
    counted = [reading.counter_uj for reading in good if reading.counter_uj is not None]
    return Trace(
        monotonic_ns=np.array([reading.monotonic_ns for reading in good], np.int64),
        total_mw=np.array([reading.total_mw for reading in good], np.float64),
        rails_mw=np.array(
            [[np.nan if rail is None else rail for rail in reading.rails_mw] for reading in good], np.float64
        ).reshape(len(good), rails),
        counter_uj=np.array(counted if len(counted) == len(good) else [], np.float64),
        faults=tuple((each.monotonic_ns, each.fault) for each in readings if each.total_mw is None),
    )
