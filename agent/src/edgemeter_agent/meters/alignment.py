"""Another host's clock against this board's. Pure.

An exchange (RFC 5905 section 8): asked at t1 here, received at t2 and answered at t3 there, back at t4 here.
Had both ways taken equally long, here - there = ((t1 - t2) + (t4 - t3)) / 2; it can't be wrong by more than
half of the round trip. The exchange with the shortest one is kept of every burst, since waiting only ever
lengthens it.

Through what was kept goes a line: offset and drift. A drift is known beforehand to be that of a crystal,
which keeps a short row of exchanges from claiming one that no crystal has.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

EXCHANGES = 16
"""A burst, at least."""

CRYSTAL_DRIFT = 50e-6
"""Standard deviation of the difference of two boards' clock rates (datasheets: 20 to 50 ppm each)."""

_MIN_RTT_NS = 1000
"""Nothing is exchanged faster; keeps weights finite."""


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """All CLOCK_MONOTONIC in ns: t1 and t4 of this board, t2 and t3 of the other host."""

    t1_ns: int
    t2_ns: int
    t3_ns: int
    t4_ns: int

    @property
    def rtt_ns(self) -> int:
        """What the two ways took."""
        return (self.t4_ns - self.t1_ns) - (self.t3_ns - self.t2_ns)

    @property
    def offset_ns(self) -> int:
        """Here less there, halfway."""
        return ((self.t1_ns - self.t2_ns) + (self.t4_ns - self.t3_ns)) // 2

    @property
    def remote_ns(self) -> int:
        """When, by the other host's clock."""
        return (self.t2_ns + self.t3_ns) // 2

    @property
    def possible(self) -> bool:
        """An answer does not come before its question, on either side."""
        return self.t4_ns >= self.t1_ns and self.t3_ns >= self.t2_ns and self.rtt_ns >= 0


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """A line from the other host's clock to this board's.

    Attributes:
        reference_ns: of the other host, where offset_ns holds.
        offset_ns: here less there.
        drift: by how much `here less there` grows, per unit of time.
        drift_uncertainty: one standard uncertainty of it.
        residual_ns: one standard uncertainty of a converted stamp.
        rtt_ns: the shortest round trip.
    """

    reference_ns: int
    offset_ns: int
    drift: float
    drift_uncertainty: float
    residual_ns: float
    rtt_ns: int

    def to_local_ns(self, remote_ns: int) -> int:
        """This board's CLOCK_MONOTONIC at a moment of the other host's."""
        return remote_ns + self.offset_ns + round(self.drift * (remote_ns - self.reference_ns))


class AlignedMeter(Protocol):
    """A meter whose stamps come from elsewhere; others may have `alignment_ns` alone.

    Energy reads both after its last reading: getattr(meter, "alignment_ns", 0.0).
    """

    @property
    def alignment(self) -> Alignment: ...

    @property
    def alignment_ns(self) -> float:
        """One standard uncertainty of the stamps, alignment.residual_ns included."""


def best_of(burst: Sequence[Exchange]) -> Exchange:
    """The exchange with the shortest round trip. Raises ValueError where there is none that is possible."""
    possible = [exchange for exchange in burst if exchange.possible]
    if not possible:
        raise ValueError("no possible exchange of times")
    return min(possible, key=lambda exchange: exchange.rtt_ns)


def align(kept: Sequence[Exchange], given: Sequence[tuple[int, int]] = ()) -> Alignment:
    """Fits the line by weighted least squares, with the crystal's drift as prior.

    `kept` is the best exchange of each burst, at least one. `given` are (there, here) stamps that were
    converted earlier, with what was known then; by how much this fit differs is part of the residual.

    An exchange's error is within half its round trip, of which everything is equally likely: standard
    uncertainty rtt / (2 sqrt 3) (GUM 4.3.7). A way that is always longer than the other makes the same error
    in all of them, so it is not divided by their number.
    """
    rtts_ns = np.array([max(exchange.rtt_ns, _MIN_RTT_NS) for exchange in kept], np.float64)
    sigma_ns = rtts_ns / (2 * math.sqrt(3))
    best = min(kept, key=lambda exchange: exchange.rtt_ns)
    # Differences first: the clocks themselves may have more digits than a double.
    x_s = np.array([exchange.remote_ns - best.remote_ns for exchange in kept], np.float64) / 1e9
    y_ns = np.array([exchange.offset_ns - best.offset_ns for exchange in kept], np.float64)
    weights = 1 / sigma_ns**2
    # A drift of 1 is 1e9 ns/s. The prior is one more equation: drift = 0 +- CRYSTAL_DRIFT.
    normal = np.array(
        [
            [weights.sum(), (weights * x_s).sum()],
            [(weights * x_s).sum(), (weights * x_s**2).sum() + (1e9 * CRYSTAL_DRIFT) ** -2],
        ]
    )
    right = np.array([(weights * y_ns).sum(), (weights * x_s * y_ns).sum()])
    covariance = np.linalg.inv(normal)
    offset_ns, drift_ns_s = covariance @ right
    fit = Alignment(
        reference_ns=best.remote_ns,
        offset_ns=best.offset_ns + round(float(offset_ns)),
        drift=float(drift_ns_s) * 1e-9,
        drift_uncertainty=math.sqrt(float(covariance[1, 1])) * 1e-9,
        residual_ns=0.0,
        rtt_ns=max(best.rtt_ns, 0),
    )
    scatter_ns = y_ns - (offset_ns + drift_ns_s * x_s)
    parts_ns = [float(sigma_ns.min()), _rms(scatter_ns)]
    if given:
        off_by_ns = np.array([fit.to_local_ns(there) - here for there, here in given], np.float64)
        parts_ns.append(_rms(off_by_ns))
        # How far the drift that is not known may have carried them away from where exchanges were.
        away_s = np.array([_outside(there, kept) for there, _ in given], np.float64) / 1e9
        parts_ns.append(1e9 * _rms(away_s) * fit.drift_uncertainty)
    return replace(fit, residual_ns=math.hypot(*parts_ns))


def _outside(there_ns: int, kept: Sequence[Exchange]) -> int:
    """Distance from the span of the exchanges; 0 inside."""
    first, last = (pick(exchange.remote_ns for exchange in kept) for pick in (min, max))
    return max(first - there_ns, there_ns - last, 0)


def _rms(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    return float(np.sqrt(np.mean(values**2))) if len(values) else 0.0
