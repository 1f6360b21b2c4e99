from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from threading import Event

import pytest

from edgemeter_agent.energy.sampler import Sampler
from edgemeter_agent.meters import Description, MeterError, Reading
from tests.unit.agent.energy.scripted_meter import ScriptedMeter
from tests.unit.agent.energy.traces import meter

FAST = meter(rate_hz=500.0)
PATIENCE_S = 30.0


def wait_until(condition: Callable[[], bool]) -> None:
    """Fails where it does not come true at all."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_readings_are_collected_until_the_end_and_not_after() -> None:
    one = ScriptedMeter(FAST, lambda now: 5000.0)
    with Sampler(one) as sampler:
        assert sampler.wait_for_first(PATIENCE_S)
        wait_until(lambda: sampler.trace().monotonic_ns.size > 20)
    trace = sampler.trace()
    assert (trace.total_mw == 5000).all()
    assert trace.monotonic_ns[0] >= sampler.collected.begin_ns
    assert trace.monotonic_ns[-1] <= sampler.collected.end_ns
    assert sampler.gone is None
    assert 0 < sampler.cpu_share < 1
    assert not any(thread.name == "meter" for thread in threading.enumerate())
    assert not one.closed


def test_faults_do_not_end_it() -> None:
    turns = iter(range(1_000_000))
    one = ScriptedMeter(FAST, lambda now: None if next(turns) % 3 else 5000.0)
    with Sampler(one) as sampler:
        wait_until(lambda: sampler.trace().monotonic_ns.size > 10)
    assert len(sampler.trace().faults) > 10
    assert {code for _, code in sampler.trace().faults} == {"EAGAIN"}


def test_a_meter_that_goes_away_is_kept_by_name() -> None:
    turns = iter(range(1_000_000))
    gone = MeterError("meter_gone", "unplugged")
    with Sampler(ScriptedMeter(FAST, lambda now: 1.0 if next(turns) < 5 else gone)) as sampler:
        wait_until(lambda: sampler.gone is not None)
    assert sampler.gone == ("meter_gone", "unplugged")
    assert sampler.trace().monotonic_ns.size == 5


def test_a_meter_that_never_reads_is_not_waited_for_to_the_end() -> None:
    forbidden = MeterError("meter_forbidden", "not for you")
    with Sampler(ScriptedMeter(FAST, lambda now: forbidden)) as sampler:
        assert not sampler.wait_for_first(PATIENCE_S)
    assert sampler.gone == ("meter_forbidden", "not for you")


class _Broken:
    description: Description = FAST

    def __init__(self, failure: BaseException | None) -> None:
        self._failure = failure

    def readings(self, stop: Event) -> Iterator[Reading]:
        yield Reading(monotonic_ns=time.monotonic_ns(), total_mw=1.0, rails_mw=(1.0,))
        if self._failure is not None:
            raise self._failure

    def close(self) -> None: ...


@pytest.mark.parametrize(
    ("failure", "gone"),
    [
        (KeyError("x"), ("meter_broken", "KeyError: 'x'")),
        # Readings that just end.
        (None, ("meter_gone", "the meter ended its readings")),
    ],
)
def test_a_meter_with_a_fault_of_its_own_is_named(
    failure: BaseException | None, gone: tuple[str, str]
) -> None:
    with Sampler(_Broken(failure)) as sampler:
        wait_until(lambda: sampler.gone is not None)
    assert sampler.gone == gone
    assert sampler.trace().monotonic_ns.size == 1
