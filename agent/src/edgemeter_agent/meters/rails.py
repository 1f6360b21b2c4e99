"""Reading several rails of which some make up the total."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgemeter_agent.meters import Rail, Reading
from edgemeter_agent.meters.attribute import fault_of

WITHOUT_DATASHEET = 0.05
"""Largest gain error assumed of a meter whose maker states none: a judgement (GUM 4.3, type B), not a
reading."""


@dataclass(frozen=True, kw_only=True)
class RailSource:
    """One rail and how it is read.

    Attributes:
        read_mw: raises OSError or ValueError.
        resolution_mw: its smallest step at its usual voltage.
        offset_error_mw: standard uncertainty of its zero.
    """

    name: str
    in_total: bool
    read_mw: Callable[[], float]
    resolution_mw: float
    offset_error_mw: float

    @property
    def rail(self) -> Rail:
        return Rail(name=self.name, in_total=self.in_total)


def rectangular(limit: float) -> float:
    """Standard uncertainty of what lies within plus or minus `limit`, nobody knows where (GUM 4.3.7)."""
    return limit / math.sqrt(3)


def root_sum_of_squares(values: Sequence[float]) -> float:
    """Of a sum of rails that round apart: a step whose square over 12 is the variance of the rounded sum."""
    return math.sqrt(sum(value * value for value in values))


def read_rails(sources: Sequence[RailSource], where: str, remedy: str) -> Reading:
    """One reading of all rails, those of the total first and close together.

    The stamp is midway through the reads of the total's rails. A rail of the total that can't be read is a
    fault of the reading; any other is None. Raises MeterError.
    """
    rails_mw: list[float | None] = [None] * len(sources)
    total_mw = 0.0
    fault = ""
    began_ns = time.monotonic_ns()
    for index, source in enumerate(sources):
        if source.in_total:
            try:
                rail_mw = source.read_mw()
            except (OSError, ValueError) as error:
                fault = fault or fault_of(error, where, remedy)
            else:
                rails_mw[index] = rail_mw
                total_mw += rail_mw
    ended_ns = time.monotonic_ns()
    stamp_ns = (began_ns + ended_ns) // 2
    if fault:
        return Reading(monotonic_ns=stamp_ns, total_mw=None, fault=fault)
    for index, source in enumerate(sources):
        if not source.in_total:
            try:
                rails_mw[index] = source.read_mw()
            except (OSError, ValueError) as error:
                fault_of(error, where, remedy)
    return Reading(monotonic_ns=stamp_ns, total_mw=total_mw, rails_mw=tuple(rails_mw))
