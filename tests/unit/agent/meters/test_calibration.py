"""Gain and offset from points, kept and applied."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from threading import Event

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from edgemeter_agent.meters import Reading, calibration
from edgemeter_agent.meters.calibration import (
    Calibrated,
    Calibration,
    CalibrationError,
    Point,
    corrected,
    corrected_description,
    fit,
)
from tests.unit.agent.meters.simulated_meter import SimulatedMeter

WHEN = "2026-11-22T10:00:00+00:00"


def points(*pairs: tuple[float, float], uncertainty_mw: float = 1.0) -> list[Point]:
    """(read, reference) in mW."""
    return [
        Point(reference_mw=reference, read_mw=read, uncertainty_mw=uncertainty_mw)
        for read, reference in pairs
    ]


def fitted(*pairs: tuple[float, float], uncertainty_mw: float = 1.0) -> Calibration:
    return fit(points(*pairs, uncertainty_mw=uncertainty_mw), reference="a test", made_at=WHEN)


@given(
    gain=st.floats(0.55, 1.9),
    offset_mw=st.floats(-2000, 2000),
    reads=st.lists(st.floats(500, 50_000), min_size=2, max_size=6),
)
def test_exact_points_give_the_line_back(gain: float, offset_mw: float, reads: list[float]) -> None:
    assume(max(reads) - min(reads) > 1000)
    known = fitted(*((read, gain * read + offset_mw) for read in reads))
    assert known.gain == pytest.approx(gain, rel=1e-6)
    assert known.offset_mw == pytest.approx(offset_mw, abs=0.01)


def test_uncertainties_of_two_points_by_hand() -> None:
    known = fitted((2000, 2100), (6000, 6300), uncertainty_mw=20)
    assert known.gain == pytest.approx(1.05)
    assert known.offset_mw == pytest.approx(0, abs=1e-9)
    # gain = (y2 - y1) / (x2 - x1): 20 sqrt(2) / 4000
    assert known.gain_uncertainty == pytest.approx(20 * math.sqrt(2) / 4000)
    # offset = (x2 y1 - x1 y2) / (x2 - x1): 20 sqrt(6000^2 + 2000^2) / 4000
    assert known.offset_uncertainty_mw == pytest.approx(20 * math.hypot(6000, 2000) / 4000)
    assert known.points == 2


def test_one_point_gives_the_gain_alone() -> None:
    known = fitted((4000, 4400), uncertainty_mw=40)
    assert (known.gain, known.offset_mw, known.offset_uncertainty_mw) == (1.1, 0, None)
    assert known.gain_uncertainty == pytest.approx(0.01)


def test_the_references_own_errors_are_added() -> None:
    known = fit(
        points((2000, 2000), (6000, 6000), uncertainty_mw=1e-6),
        reference="a test",
        made_at=WHEN,
        reference_gain_error=0.01,
        reference_offset_error_mw=30,
    )
    assert known.gain_uncertainty == pytest.approx(0.01)
    assert known.offset_uncertainty_mw == pytest.approx(30)


def test_points_that_scatter_widen_the_uncertainty() -> None:
    calm = fitted((1000, 1000), (2000, 2000), (3000, 3000), uncertainty_mw=1)
    wild = fitted((1000, 1000), (2000, 2060), (3000, 3000), uncertainty_mw=1)
    # chi-square: residuals -20, 40, -20 over 1, one degree of freedom
    assert wild.gain_uncertainty == pytest.approx(calm.gain_uncertainty * math.sqrt(2400))


def test_the_stated_uncertainty_is_that_of_repeated_calibrations() -> None:
    """Simulated: 2000 calibrations by three loads, with noise of 20 mW."""
    random_numbers = random.Random(5)
    true_gain, true_offset_mw = 1.06, 120.0
    gains, offsets, within = [], [], 0
    for _ in range(2000):
        known = fitted(
            *(
                (read, true_gain * read + true_offset_mw + random_numbers.gauss(0, 20))
                for read in (2000.0, 5000.0, 9000.0)
            ),
            uncertainty_mw=20,
        )
        gains.append(known.gain)
        offsets.append(known.offset_mw)
        within += abs(known.gain - true_gain) <= 1.96 * known.gain_uncertainty
    spread = math.sqrt(sum((gain - true_gain) ** 2 for gain in gains) / len(gains))
    line = fitted((2000, 2000), (5000, 5000), (9000, 9000), uncertainty_mw=20)
    assert spread == pytest.approx(line.gain_uncertainty, rel=0.05)
    spread_mw = math.sqrt(sum((offset - true_offset_mw) ** 2 for offset in offsets) / len(offsets))
    assert spread_mw == pytest.approx(line.offset_uncertainty_mw, rel=0.05)
    # Widening by the scatter only ever adds.
    assert within / 2000 >= 0.94


@pytest.mark.parametrize(
    ("pairs", "said"),
    [
        ([], "no point"),
        # milliwatts for watts
        ([(5.0, 5000.0), (10.0, 10000.0)], "the gain would be 1e+03, outside 0.5 to 2"),
        ([(1000, 2500), (2000, 5000)], "outside"),
        ([(1000, 400), (2000, 800)], "outside"),
        ([(1000, -1000), (2000, -2000)], "outside"),
        # loads that do not differ
        ([(5000, 5000), (5000, 5100)], "at every load"),
        ([(5000, 5000), (5005, 5005)], "differ more"),
        ([(math.nan, 5000)], "no pair of numbers"),
        ([(5000, math.inf), (1000, 1000)], "no pair of numbers"),
        ([(0, 5000)], "no reading"),
        ([(-3, 5000)], "no reading"),
    ],
)
def test_rubbish_is_refused_in_one_line(pairs: list[tuple[float, float]], said: str) -> None:
    with pytest.raises(CalibrationError, match=said.replace("+", r"\+")) as refused:
        fitted(*pairs)
    assert "\n" not in str(refused.value)


def test_a_point_without_uncertainty_is_refused() -> None:
    with pytest.raises(CalibrationError, match="must be above 0"):
        fitted((1000, 1000), (2000, 2000), uncertainty_mw=0)


KNOWN = Calibration(
    gain=1.1,
    offset_mw=-200,
    gain_uncertainty=0.011,
    offset_uncertainty_mw=15,
    points=2,
    reference="meter shelly:plug",
    coverage="wall",
    made_at=WHEN,
)


def test_kept_and_found_again(tmp_path: Path) -> None:
    path = calibration.save(tmp_path / "deep" / "calibrations", "exec:/opt/meter --fast", KNOWN)
    assert path.parent == tmp_path / "deep" / "calibrations"
    assert calibration.load(path.parent, "exec:/opt/meter --fast") == KNOWN
    assert calibration.load(path.parent, "exec:/opt/meter") is None
    assert calibration.load(tmp_path / "nowhere", "pmic") is None


@pytest.mark.parametrize(
    "change",
    [
        {"gain": "much"},
        {"gain": 7.0},
        {"gain": None},
        {"gain": math.nan},
        {"gain_uncertainty": -1.0},
        {"offset_mw": math.inf},
    ],
)
def test_a_file_that_makes_no_sense_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = calibration.save(tmp_path, "pmic", KNOWN)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(CalibrationError, match="calibrate again"):
        calibration.load(tmp_path, "pmic")


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"gain": 1}', "\xff"])
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    calibration.path_of(tmp_path, "pmic").write_text(content, encoding="latin-1")
    with pytest.raises(CalibrationError, match="calibrate again"):
        calibration.load(tmp_path, "pmic")


def test_the_total_and_the_counter_are_corrected_and_rails_are_not() -> None:
    reading = Reading(monotonic_ns=7, total_mw=5000, rails_mw=(5000, None), counter_uj=20_000)
    after = corrected(reading, KNOWN, elapsed_ns=2_000_000_000)
    assert after.total_mw == pytest.approx(1.1 * 5000 - 200)
    assert after.rails_mw == reading.rails_mw
    # -200 mW for 2 s are -400 mJ
    assert after.counter_uj == pytest.approx(1.1 * 20_000 - 400_000)


def test_the_counter_stays_the_integral_of_the_power() -> None:
    """5 W for 3 s counted: the corrected counter rises by what the corrected power is times 3 s."""
    first = corrected(Reading(monotonic_ns=0, total_mw=5000, counter_uj=0), KNOWN, 0)
    last = corrected(Reading(monotonic_ns=0, total_mw=5000, counter_uj=15_000_000), KNOWN, 3_000_000_000)
    assert first.counter_uj is not None
    assert last.counter_uj is not None
    assert last.total_mw is not None
    assert last.counter_uj - first.counter_uj == pytest.approx(last.total_mw * 3 * 1000)


def test_a_fault_stays_a_fault() -> None:
    reading = Reading(monotonic_ns=7, total_mw=None, fault="EAGAIN")
    assert corrected(reading, KNOWN, 5) is reading


def test_a_calibrated_meter_says_so() -> None:
    meter = Calibrated(
        SimulatedMeter("pmic", "SoC and board rails", offset_error_mw=10, resolution_mw=6), KNOWN
    )
    said = meter.description
    assert said.coverage == "wall, estimated from SoC and board rails"
    assert said.gain_error == pytest.approx(0.01)
    assert said.offset_error_mw == 15
    assert said.resolution_mw == pytest.approx(6.6)
    assert said.detail.endswith(f"calibrated by meter shelly:plug, {WHEN}")
    reading = next(meter.readings(Event()))
    assert reading.total_mw == pytest.approx(5300)
    meter.close()


@pytest.mark.parametrize(("coverage", "shown"), [("", "board"), ("board", "board")])
def test_the_same_coverage_stays(coverage: str, shown: str) -> None:
    known = Calibration(**{**KNOWN.__dict__, "coverage": coverage, "offset_uncertainty_mw": None})
    said = corrected_description(SimulatedMeter(offset_error_mw=10).description, known)
    assert said.coverage == shown
    # one load says nothing of the zero: it is as uncertain as before
    assert said.offset_error_mw == pytest.approx(11)
