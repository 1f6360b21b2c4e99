from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_protos.durations import format_duration, parse_duration

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "duration_ns"),
    [
        ("2s", 2 * SECOND),
        ("10m", 600 * SECOND),
        ("10min", 600 * SECOND),
        ("1h30m", 5400 * SECOND),
        ("1h 30m 0.5s", 5400 * SECOND + SECOND // 2),
        (" 250 ms ", SECOND // 4),
        ("0.25s", SECOND // 4),
        ("5us", 5000),
        ("5µs", 5000),
        ("7ns", 7),
        ("0s", 0),
        ("0.000000001s", 1),
    ],
)
def test_durations(text: str, duration_ns: int) -> None:
    assert parse_duration(text) == duration_ns


@pytest.mark.parametrize(
    "text",
    [
        # no unit, no number, none that we know, none at all
        *("10", "s", "2 days", "", " "),
        # signs, exponents, other digits, rubbish before and after
        *("-2s", "1e3s", "٢s", "x2s", "2s!", "2s x", "2..5s", "1_000s"),
        # longer than anybody writes
        *("9" * 21 + "s", "1s" * 60),
    ],
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration: write a number and a unit"):
        parse_duration(text)


def test_less_than_a_nanosecond() -> None:
    with pytest.raises(ValueError, match=r"'0\.5ns' is no whole number of nanoseconds"):
        parse_duration("0.5ns")


@pytest.mark.parametrize(
    ("duration_ns", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1500, "1500ns"),
        (2000, "2us"),
        (250_000_000, "250ms"),
        (2 * SECOND, "2s"),
        (90 * SECOND, "90s"),
        (600 * SECOND, "10m"),
        (12 * 3600 * SECOND, "12h"),
    ],
)
def test_the_largest_unit_of_which_it_is_a_whole_number(duration_ns: int, text: str) -> None:
    assert format_duration(duration_ns) == text


@given(st.integers(0, 2**64 - 1))
def test_what_is_written_is_read_as_the_same(duration_ns: int) -> None:
    assert parse_duration(format_duration(duration_ns)) == duration_ns


@given(st.text())
def test_any_text_is_a_duration_or_one_line(text: str) -> None:
    told = ""
    try:
        assert parse_duration(text) >= 0
    except ValueError as error:
        told = str(error)
    assert len(told.splitlines()) <= 1
