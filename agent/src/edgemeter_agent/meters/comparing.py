"""Reading meters at the same time, under one load, to set one right by the other."""

from __future__ import annotations

import math
import statistics
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from edgemeter_agent.meters import Description, Meter, MeterError, Reading
from edgemeter_agent.meters.calibration import CalibrationError, Point

LEAST_READINGS = 3
SETTLING_S = 2.0
"""For the load itself: clocks and fans take about as long to follow."""
SETTLING_LAGS = 5
"""After five time constants 0.7 % of a step is left."""
JOIN_TIMEOUT_S = 30.0
SMALLEST_UNCERTAINTY_MW = 1e-3


@dataclass(frozen=True, kw_only=True)
class Mean:
    """Attributes:
    uncertainty_mw: standard, of scatter and steps.
    """

    power_mw: float
    uncertainty_mw: float


def settling_s(*described: Description) -> float:
    """How long to wait after a load changed."""
    return SETTLING_S + SETTLING_LAGS * max(each.lag_s for each in described)


def mean_of(readings: Sequence[Reading], described: Description) -> Mean:
    """Of the readings that have a number.

    Readings behind a lag resemble each other: a mean over T of noise with the time constant tau counts as
    T / (2 tau) independent ones. Raises CalibrationError where too few came.
    """
    good = [reading for reading in readings if reading.total_mw is not None]
    powers = [reading.total_mw for reading in good if reading.total_mw is not None]
    if len(powers) < LEAST_READINGS:
        faults = ", ".join(sorted({reading.fault for reading in readings if reading.fault})) or "none came"
        raise CalibrationError(
            f"meter {described.name} gave {len(powers)} readings ({faults}): measure longer"
        )
    spread_s = (good[-1].monotonic_ns - good[0].monotonic_ns) / 1e9
    independent = float(len(powers))
    if described.lag_s:
        independent = min(independent, max(spread_s / (2 * described.lag_s), 1.0))
    scatter_mw = statistics.stdev(powers) / math.sqrt(independent)
    step_mw = described.resolution_mw / math.sqrt(12)
    uncertainty_mw = max(math.hypot(scatter_mw, step_mw), SMALLEST_UNCERTAINTY_MW)
    return Mean(power_mw=statistics.fmean(powers), uncertainty_mw=uncertainty_mw)


def means_of(meters: Sequence[Meter], duration_s: float) -> list[Mean]:
    """Each meter's mean over the same time. Raises MeterError and CalibrationError."""
    taken: list[list[Reading]] = [[] for _ in meters]
    failures: list[MeterError] = []
    stop = threading.Event()

    def take(meter: Meter, into: list[Reading]) -> None:
        try:
            for reading in meter.readings(stop):
                into.append(reading)
                if stop.is_set():
                    return
        except MeterError as error:
            failures.append(error)
            stop.set()

    threads = [
        threading.Thread(target=take, args=each, daemon=True) for each in zip(meters, taken, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        stop.wait(duration_s)
    finally:
        stop.set()
        for thread in threads:
            thread.join(JOIN_TIMEOUT_S)
    if failures:
        raise failures[0]
    return [mean_of(readings, meter.description) for meter, readings in zip(meters, taken, strict=True)]


def point_of(read: Mean, reference: Mean) -> Point:
    return Point(
        reference_mw=reference.power_mw,
        read_mw=read.power_mw,
        uncertainty_mw=math.hypot(read.uncertainty_mw, reference.uncertainty_mw),
    )
