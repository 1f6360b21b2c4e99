"""Correcting a meter by what a better one, or a known load, said: reference = gain x read + offset."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from threading import Event
from urllib.parse import quote

from edgemeter_agent.durable import write_whole
from edgemeter_agent.meters import Description, Meter, Reading

LEAST_GAIN, MOST_GAIN = 0.5, 2.0
"""Further from 1, a unit was mistaken or the two meters were not on the same board."""
MOST_GAIN_UNCERTAINTY = 0.1


class CalibrationError(ValueError):
    """Points or a file that make no calibration: one line for the user."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One load. Attributes:
    uncertainty_mw: standard uncertainty of what was read against the reference there: noise, steps. Above 0.
    """

    reference_mw: float
    read_mw: float
    uncertainty_mw: float


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Attributes:
    gain_uncertainty: standard, absolute.
    offset_uncertainty_mw: standard; None of a single point, which says nothing of the zero.
    points: how many loads.
    reference: which meter or load it was, in words.
    coverage: of the reference; empty where it is the meter's own.
    made_at: ISO 8601, UTC.
    """

    gain: float
    offset_mw: float
    gain_uncertainty: float
    offset_uncertainty_mw: float | None
    points: int
    reference: str
    coverage: str
    made_at: str


def fit(
    points: Sequence[Point],
    *,
    reference: str,
    made_at: str,
    coverage: str = "",
    reference_gain_error: float = 0.0,
    reference_offset_error_mw: float = 0.0,
) -> Calibration:
    """Weighted least squares of gain and offset; of a single point the gain alone.

    The reference's own errors are the same at all points, and are added in squares. Where three points or
    more scatter beyond their uncertainties, these are widened by the square root of the reduced chi-square
    (Bevington, Data Reduction, 6.3 and 6.4). Raises CalibrationError.
    """
    _check(points)
    if len(points) == 1:
        (only,) = points
        gain, offset_mw, gain_variance, offset_variance = only.reference_mw / only.read_mw, 0.0, 0.0, None
        gain_variance = (only.uncertainty_mw / only.read_mw) ** 2
    else:
        gain, offset_mw, gain_variance, offset_variance = _line(points)
    gain_uncertainty = math.hypot(math.sqrt(gain_variance), gain * reference_gain_error)
    if not LEAST_GAIN <= gain <= MOST_GAIN:
        raise CalibrationError(
            f"the gain would be {gain:.3g}, outside {LEAST_GAIN} to {MOST_GAIN}: "
            "do both mean the same board, in the same unit?"
        )
    if gain_uncertainty > MOST_GAIN_UNCERTAINTY:
        raise CalibrationError(
            f"the gain would be {gain:.3f} with a standard uncertainty of {gain_uncertainty:.2f}: "
            "take loads that differ more, or measure longer"
        )
    return Calibration(
        gain=gain,
        offset_mw=offset_mw,
        gain_uncertainty=gain_uncertainty,
        offset_uncertainty_mw=None
        if offset_variance is None
        else math.hypot(math.sqrt(offset_variance), reference_offset_error_mw),
        points=len(points),
        reference=reference,
        coverage=coverage,
        made_at=made_at,
    )


def _check(points: Sequence[Point]) -> None:
    if not points:
        raise CalibrationError("no point to calibrate by: give at least one load")
    for point in points:
        if not all(math.isfinite(value) for value in (point.reference_mw, point.read_mw)):
            raise CalibrationError(f"{point.read_mw} mW = {point.reference_mw} mW is no pair of numbers")
        if not (math.isfinite(point.uncertainty_mw) and point.uncertainty_mw > 0):
            raise CalibrationError(f"a point's uncertainty is {point.uncertainty_mw} mW; it must be above 0")
    if len(points) == 1 and points[0].read_mw <= 0:
        raise CalibrationError(
            f"the meter read {points[0].read_mw / 1000:g} W under load, which is no reading"
        )


def _line(points: Sequence[Point]) -> tuple[float, float, float, float]:
    """(gain, offset, variance of the gain, variance of the offset)."""
    weights = [1 / point.uncertainty_mw**2 for point in points]
    weight = sum(weights)
    mean_read = sum(w * point.read_mw for w, point in zip(weights, points, strict=True)) / weight
    mean_reference = sum(w * point.reference_mw for w, point in zip(weights, points, strict=True)) / weight
    spread = sum(w * (point.read_mw - mean_read) ** 2 for w, point in zip(weights, points, strict=True))
    if spread <= 0:
        raise CalibrationError(f"the meter read {mean_read / 1000:g} W at every load: take loads that differ")
    joint = sum(
        w * (point.read_mw - mean_read) * (point.reference_mw - mean_reference)
        for w, point in zip(weights, points, strict=True)
    )
    gain = joint / spread
    offset_mw = mean_reference - gain * mean_read
    scatter = 1.0
    if len(points) > 2:
        chi_square = sum(
            w * (point.reference_mw - gain * point.read_mw - offset_mw) ** 2
            for w, point in zip(weights, points, strict=True)
        )
        scatter = max(chi_square / (len(points) - 2), 1.0)
    return gain, offset_mw, scatter / spread, scatter * (1 / weight + mean_read**2 / spread)


class Calibrated:
    """A meter whose total and counter are corrected. Its rails stay as they were read: of them nothing is
    known."""

    def __init__(self, meter: Meter, calibration: Calibration) -> None:
        self.calibration = calibration
        self._meter = meter

    @property
    def description(self) -> Description:
        return corrected_description(self._meter.description, self.calibration)

    @property
    def alignment_ns(self) -> float:
        """Of the meter's stamps, which no calibration changes; see meters.alignment."""
        return float(getattr(self._meter, "alignment_ns", 0.0))

    def readings(self, stop: Event) -> Iterator[Reading]:
        first_ns: int | None = None
        for reading in self._meter.readings(stop):
            if first_ns is None:
                first_ns = reading.monotonic_ns
            yield corrected(reading, self.calibration, reading.monotonic_ns - first_ns)

    def close(self) -> None:
        self._meter.close()


def corrected_description(said: Description, known: Calibration) -> Description:
    """A meter that was calibrated against one of another coverage estimates that coverage, and says so."""
    own_offset_mw = known.gain * said.offset_error_mw
    other = known.coverage and known.coverage != said.coverage
    return replace(
        said,
        coverage=f"{known.coverage}, estimated from {said.coverage}" if other else said.coverage,
        resolution_mw=known.gain * said.resolution_mw,
        gain_error=known.gain_uncertainty / known.gain,
        offset_error_mw=own_offset_mw if known.offset_uncertainty_mw is None else known.offset_uncertainty_mw,
        detail=f"{said.detail}; calibrated by {known.reference}, {known.made_at}",
    )


def corrected(reading: Reading, known: Calibration, elapsed_ns: int) -> Reading:
    """`elapsed_ns` is since the readings began: an offset of power is energy that grows with time."""
    if reading.total_mw is None:
        return reading
    counter_uj = reading.counter_uj
    if counter_uj is not None:
        # 1 mW for 1 ns is 1e-6 uJ.
        counter_uj = known.gain * counter_uj + known.offset_mw * elapsed_ns / 1e6
    return replace(reading, total_mw=known.gain * reading.total_mw + known.offset_mw, counter_uj=counter_uj)


def path_of(folder: Path, meter: str) -> Path:
    """A meter's name may hold slashes and colons; its file's name does not."""
    return folder / f"{quote(meter, safe=' ')}.json"


def save(folder: Path, meter: str, known: Calibration) -> Path:
    """Replaces what was known of this meter, in one step. Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = path_of(folder, meter)
    write_whole(path, json.dumps({"meter": meter, **asdict(known)}, indent=2).encode() + b"\n")
    return path


def load(folder: Path, meter: str) -> Calibration | None:
    """None where there is no calibration. Raises CalibrationError where its file makes no sense: readings
    that should be corrected must not pass uncorrected."""
    path = path_of(folder, meter)
    try:
        document = json.loads(path.read_bytes())
        known = Calibration(**{field.name: document[field.name] for field in fields(Calibration)})
        numbers = [known.gain, known.offset_mw, known.gain_uncertainty, known.offset_uncertainty_mw or 0.0]
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError("a number is not finite")
        if not LEAST_GAIN <= known.gain <= MOST_GAIN or min(numbers[2:]) < 0:
            raise ValueError(f"a gain of {known.gain} can't be")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise CalibrationError(
            f"its calibration {path} is unusable ({type(error).__name__}: {error}): "
            "remove it or calibrate again"
        ) from error
    return known
