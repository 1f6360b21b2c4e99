from __future__ import annotations

import pytest

from edgemeter_coordinator.report.intervals import Interval, meet


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        ((1, 2), (3, 4), False),
        ((1, 2), (2, 4), True),
        ((1, 5), (2, 3), True),
        ((1, 1), (1, 1), True),
        (None, (1, 2), True),
        (None, None, True),
    ],
)
def test_meet(one: Interval | None, other: Interval | None, says: bool) -> None:
    assert meet(one, other) is meet(other, one) is says
