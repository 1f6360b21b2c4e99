"""Three significant digits, the unit that suits, and words for what is absent."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgemeter_protos.report import units


@pytest.mark.parametrize(
    ("human", "value", "text"),
    [
        (units.human_ns, None, "not measured"),
        (units.human_ns, 0, "0 ns"),
        (units.human_ns, 999, "999 ns"),
        (units.human_ns, 1000, "1.00 µs"),
        (units.human_ns, 42_700, "42.7 µs"),
        (units.human_ns, 999_600, "1.00 ms"),  # not 1000 µs
        (units.human_ns, 123_456_789, "123 ms"),
        (units.human_ns, 61e9, "61.0 s"),
        (units.human_ns, 600e9, "10 min"),
        (units.human_ns, 1e13, "2.78 h"),
        (units.human_bytes, 17, "17 B"),
        (units.human_bytes, 93_100, "93.1 kB"),
        (units.human_bytes, 8_927_660, "8.93 MB"),
        (units.human_uj, 1230.0, "1.23 mJ"),
        (units.human_uj, -0.5, "-500 nJ"),  # noise around nothing is below zero half of the time
        (units.human_uj, 2.5e6, "2.50 J"),
        (units.human_mw, 4850.0, "4.85 W"),
        (units.human_hz, 1_800_000_000, "1.80 GHz"),
        (units.human_rate, 12.34, "12.3"),
        (units.human_rate, 1960.4, "1,960"),
        (units.human_celsius, 61_540, "61.5 °C"),
        (units.human_celsius, -5_000, "-5.0 °C"),
        (units.percent, 0.123, "12 %"),
        (units.percent, 0.0031, "0.31 %"),
        (units.percent, 0.0, "0 %"),
    ],
)
def test_numbers(human: Callable[[float | None], str], value: float | None, text: str) -> None:
    assert human(value) == text


@pytest.mark.parametrize(
    ("value", "half", "text"),
    [(100, 1.5, "±1.5%"), (100, 12, "±12%"), (-100, 4, "±4.0%"), (0, 1, ""), (None, 1, ""), (100, None, "")],
)
def test_half_an_interval(value: float | None, half: float | None, text: str) -> None:
    assert units.plus_minus(value, half) == text
