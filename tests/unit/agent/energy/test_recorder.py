from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.energy.integrate import energy_uj
from edgemeter_agent.energy.recorder import MAX_FAULTS, Recorder
from edgemeter_agent.meters import Reading
from tests.unit.agent.energy.traces import MS, seconds


def reading(number: int, total_mw: float | None = 5000.0, counter_uj: float | None = None) -> Reading:
    return Reading(
        monotonic_ns=number * 10 * MS,
        total_mw=total_mw,
        rails_mw=(total_mw, None),
        counter_uj=counter_uj,
        fault="" if total_mw is not None else "EAGAIN",
    )


def test_readings_and_faults_are_kept_apart() -> None:
    recorder = Recorder(rails=2)
    for number in range(4):
        recorder.add(reading(number, None if number == 2 else 1000.0 + number))
    trace = recorder.trace()
    assert trace.monotonic_ns.tolist() == [0, 10 * MS, 30 * MS]
    assert trace.total_mw.tolist() == [1000, 1001, 1003]
    assert trace.rails_mw[:, 0].tolist() == [1000, 1001, 1003]
    assert np.isnan(trace.rails_mw[:, 1]).all()
    assert trace.counter_uj.size == 0
    assert trace.faults == ((20 * MS, "EAGAIN"),)


def test_an_empty_recorder_gives_an_empty_trace() -> None:
    trace = Recorder(rails=3).trace()
    assert trace.monotonic_ns.size == 0
    assert trace.rails_mw.shape == (0, 3)


@given(count=st.integers(1, 3000), counter=st.booleans())
def test_memory_is_bounded_and_energy_stays(count: int, counter: bool) -> None:
    recorder = Recorder(rails=2, max_readings=100)
    for number in range(count):
        recorder.add(reading(number, 4000.0 + number, number * 100.0 if counter else None))
    trace = recorder.trace()
    assert trace.monotonic_ns.size < 100
    assert (np.diff(trace.monotonic_ns) > 0).all()
    assert bool(trace.counter_uj.size) == counter
    if count >= 400:
        # A ramp: means lie on it, whatever was averaged.
        assert trace.total_mw == pytest.approx(4000 + trace.monotonic_ns / (10 * MS))
        span = seconds(1, count / 200)
        expected = (4000 * (count / 200 - 1) + 50 * ((count / 200) ** 2 - 1)) * 1000
        if counter:
            expected = 100 * 100 * (count / 200 - 1)
        assert energy_uj(trace, span) == pytest.approx(expected, rel=1e-3)


def test_faults_are_bounded_too() -> None:
    recorder = Recorder(rails=1)
    for number in range(MAX_FAULTS + 10):
        recorder.add(reading(number, None))
    assert len(recorder.trace().faults) == MAX_FAULTS


def test_a_counter_that_was_missing_once_is_no_counter() -> None:
    recorder = Recorder(rails=2)
    recorder.add(reading(0, counter_uj=1.0))
    recorder.add(reading(1, counter_uj=None))
    assert recorder.trace().counter_uj.size == 0
