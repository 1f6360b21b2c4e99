from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.meters import Rail, Reading
from edgemeter_agent.meters.exec_program import LineParser, Rubbish

NOW_NS = 5_000_000_000_000


def reading(*lines: str) -> Reading | None:
    parser = LineParser()
    found = None
    for line in lines:
        found = parser.reading(line, NOW_NS)
    return found


def test_a_plain_line() -> None:
    assert reading(f"{NOW_NS} 4.25") == Reading(monotonic_ns=NOW_NS, total_mw=4250.0)


def test_near_zero_a_meter_may_be_negative() -> None:
    found = reading(f"{NOW_NS} -.5e-3")
    assert found is not None
    assert found.total_mw == -0.5


def test_rails_and_a_counter() -> None:
    parser = LineParser()
    for line in ("# a comment", "", "# rails CPU GPU -DDR", "# counter_uj"):
        assert parser.reading(line, NOW_NS) is None
    assert parser.rails == (
        Rail(name="CPU", in_total=True), Rail(name="GPU", in_total=True), Rail(name="DDR", in_total=False),
    )  # fmt: skip
    assert parser.reading(f"{NOW_NS} 5 2.5 - 0.25 123456789.5", NOW_NS) == Reading(
        monotonic_ns=NOW_NS, total_mw=5000.0, rails_mw=(2500.0, None, 250.0), counter_uj=123456789.5
    )


def test_a_stamp_that_does_not_rise_is_a_fault() -> None:
    for late in (NOW_NS - 1, NOW_NS):
        found = reading(f"{NOW_NS} 4.0", f"{late} 4.0")
        assert found is not None
        assert (found.total_mw, found.fault) == (None, "stamp_backwards")
    again = reading(f"{NOW_NS - 5} 4", f"{NOW_NS - 9} 4", f"{NOW_NS - 4} 4")
    assert again == Reading(monotonic_ns=NOW_NS - 4, total_mw=4000.0)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["power: 4 W"], "3 fields instead of 2"),
        ([f"{NOW_NS}"], "1 fields instead of 2"),
        ([f"{NOW_NS} 4 5"], "3 fields"),
        (["5e12 4"], "no count of nanoseconds"),
        (["-5 4"], "no count of nanoseconds"),
        (["\u0665\u0660 4"], "no count of nanoseconds"),
        ([f"{NOW_NS} nan"], "'nan' is no number"),
        ([f"{NOW_NS} inf"], "no number"),
        ([f"{NOW_NS} 1_0"], "no number"),
        ([f"{NOW_NS} 4W"], "no number"),
        ([f"{NOW_NS} 1e999"], "no number below 1e+06"),
        # milliseconds, or the wall clock
        ([f"{NOW_NS // 1_000_000} 4"], "old; it must be this board's CLOCK_MONOTONIC"),
        (["1795352400000000000 4"], "ahead; it must be this board's CLOCK_MONOTONIC"),
        (["# rails"], "rails must have"),
        (["# rails A A"], "names that differ"),
        (["# rails -"], "rails must have"),
        ([f"{NOW_NS} 4", "# rails A"], "a header after the first reading"),
        (["# rails A", f"{NOW_NS} 4"], "2 fields instead of 3"),
    ],
)
def test_rubbish_is_named(lines: list[str], says: str) -> None:
    with pytest.raises(Rubbish) as refused:
        reading(*lines)
    assert says in str(refused.value)


@given(st.text(max_size=80))
def test_any_line_is_a_reading_nothing_or_rubbish(line: str) -> None:
    try:
        found = LineParser().reading(line, NOW_NS)
    except Rubbish:
        return
    assert found is None or found.total_mw is not None
