"""A look at a meter."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from threading import Event

from edgemeter_agent.meters import Meter, Reading, Unusable


def only(found: Sequence[Meter | Unusable]) -> Meter:
    """The one meter that was found."""
    (meter,) = found
    assert not isinstance(meter, Unusable), meter.reason
    return meter


def unusable(found: Sequence[Meter | Unusable]) -> Unusable:
    (each,) = found
    assert isinstance(each, Unusable)
    return each


def look(meter: Meter, count: int = 1) -> list[Reading]:
    """So many readings."""
    return list(islice(meter.readings(Event()), count))


def look_once(meter: Meter) -> Reading:
    return look(meter)[0]
