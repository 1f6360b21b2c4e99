"""A meter elsewhere is believed only where it shows the load that is made here."""

from __future__ import annotations

import time

import pytest

from edgemeter_agent.engine import load_step_check
from edgemeter_agent.engine.load_step_check import METER_LATE, METER_NOT_WIRED, judge_load_step
from edgemeter_agent.meters.load_step import Schedule
from edgemeter_protos.v1 import result_pb2
from tests.integration.agent.engine.test_energy_phase import IDLE_MW, LOADS_MW, Bench, a_plan, measure
from tests.unit.agent.energy.traces import meter

REMOTE = meter(kind="remote", name="remote:bench:7420", rate_hz=100.0)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Its meter sees the signature that this process runs."""
    bench = Bench()

    def run(schedule: Schedule) -> Schedule:
        ran = []
        for number, (on_ns, off_ns) in enumerate(schedule.bursts_ns):
            if number:
                time.sleep((on_ns - schedule.bursts_ns[number - 1][1]) / 1e9)
            begun_ns = bench.now_takes(LOADS_MW[0])
            time.sleep((off_ns - on_ns) / 1e9)
            ran.append((begun_ns, bench.now_takes(IDLE_MW)))
        return Schedule(bursts_ns=tuple(ran))

    monkeypatch.setattr(load_step_check, "run_signature", run)
    return bench


def test_one_that_shows_it_is_believed(bench: Bench) -> None:
    told: list[str] = []
    outcomes = measure(bench, a_plan(), description=REMOTE, tell=told.append)
    assert told[0] == "remote:bench:7420: does it show this board's load?"
    assert [outcome.energy.status for outcome in outcomes] == [result_pb2.ENERGY_STATUS_MEASURED] * 2
    assert METER_LATE not in {code for outcome in outcomes for code, _ in outcome.degraded}


def test_one_of_another_board_is_void_by_name(bench: Bench) -> None:
    def elsewhere(at_ns: int) -> float:
        return IDLE_MW + float(at_ns // 10_000_000 * 7919 % 1013)

    outcomes = measure(bench, a_plan(), elsewhere, REMOTE)
    assert not bench.order
    for outcome in outcomes:
        assert outcome.energy.status == result_pb2.ENERGY_STATUS_VOID
        assert dict(outcome.energy.void_reasons) == {METER_NOT_WIRED: 3}
        assert "is it wired to this board?" in outcome.energy.detail


def test_one_that_is_late_says_so(bench: Bench) -> None:
    outcomes = measure(bench, a_plan(), lambda at_ns: bench.power_mw(at_ns - 300_000_000), REMOTE)
    for outcome in outcomes:
        details = dict(outcome.degraded)
        late_ms = int(details[METER_LATE].split(" ms later")[0].split()[-1])
        assert abs(late_ms - 300) <= 10


def test_a_meter_of_the_board_itself_is_not_asked(bench: Bench) -> None:
    told: list[str] = []
    measure(bench, a_plan(energy_windows=1), tell=told.append)
    assert told[0] == "bench: idle before"


@pytest.mark.parametrize(
    ("lag_ms", "quality", "void", "degraded"),
    [
        (5, 0.95, False, False),
        (-5, 0.95, False, False),
        (40, 0.95, False, True),
        (-40, 0.95, False, True),
        (0, 0.79, True, False),
        (0, 0.0, True, False),
    ],
)
def test_what_is_made_of_a_lag_and_a_correlation(
    lag_ms: int, quality: float, void: bool, degraded: bool
) -> None:
    judged = judge_load_step(REMOTE, lag_ms * 1_000_000, quality, alignment_ns=1e6)
    assert (judged.void is not None, judged.degraded is not None) == (void, degraded)


def test_a_lag_that_is_stated_and_clocks_that_are_uncertain_explain_some() -> None:
    slow = meter(kind="remote", rate_hz=100.0, lag_s=0.1)
    assert judge_load_step(slow, 110_000_000, 0.9, alignment_ns=0).degraded is None
    assert judge_load_step(REMOTE, 40_000_000, 0.9, alignment_ns=1e7).degraded is None
