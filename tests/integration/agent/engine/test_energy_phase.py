"""The energy phase against processes and meters that do as they are told. Nothing of how long anything took
is asserted."""

from __future__ import annotations

import bisect
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemeter_agent.conditions.judge import Machine
from edgemeter_agent.engine.energy_phase import (
    EnergyOutcome,
    EnergyVariant,
    measure_energy,
    no_meter,
    not_asked,
    steps,
    write_trace,
)
from edgemeter_agent.engine.variant_process import DeadlineError, VariantError
from edgemeter_agent.meters import Description, MeterError
from edgemeter_protos.v1 import device_pb2, engine_pb2, plan_pb2, result_pb2
from tests.unit.agent.energy.scripted_meter import ScriptedMeter
from tests.unit.agent.energy.traces import SECOND, meter

METER = meter(rate_hz=100.0)
FACTS = device_pb2.MeterFacts(name="bench", calibrated_gain=1)
MACHINE = Machine(cpu_count=2, threads=1, tick_ns=10_000_000)
IDLE_MW, LOADS_MW = 4000.0, (9000.0, 6000.0)
QUERIES = 50

MEASURED, VOID = result_pb2.ENERGY_STATUS_MEASURED, result_pb2.ENERGY_STATUS_VOID


def a_plan(**numbers: Any) -> plan_pb2.Plan:
    usual: dict[str, Any] = {
        "energy_windows": 3,
        "energy_window_min_duration_ns": SECOND * 3 // 10,
        "idle_duration_ns": SECOND // 10,
        "warmup_min_queries": 2,
        "warmup_min_duration_ns": SECOND // 50,
        "max_voided_blocks": 2,
        "seed": 7,
    }
    return plan_pb2.Plan(**{**usual, **numbers})


class Bench:
    """A board with two variants; what its meter shows follows from which of them ran when."""

    def __init__(self) -> None:
        self.order: list[int] = []
        self.requests: list[engine_pb2.ChildWindow] = []
        self.starts_ns: list[int] = []
        """Of the windows' warm-ups."""
        self.spoil: Callable[[int, engine_pb2.ChildWindowDone], None] = lambda number, done: None
        self.fail: dict[int, Exception] = {}
        self._lock = threading.Lock()
        self._changes: list[tuple[int, float]] = [(0, IDLE_MW)]

    def power_mw(self, at_ns: int) -> float:
        # A little noise, or the meter would seem to be frozen to whoever looks at it closely.
        wobble = float(at_ns // 1000 * 7919 % 11) - 5
        with self._lock:
            place = bisect.bisect([change for change, _ in self._changes], at_ns)
            return wobble + self._changes[place - 1][1]

    def now_takes(self, power_mw: float) -> int:
        with self._lock:
            now_ns = time.monotonic_ns()
            self._changes.append((now_ns, power_mw))
        return now_ns

    @contextlib.contextmanager
    def process_of(self, index: int) -> Iterator[_Process]:
        yield _Process(self, index)

    def window(self, index: int, request: engine_pb2.ChildWindow) -> engine_pb2.ChildWindowDone:
        self.order.append(index)
        self.requests.append(request)
        if index in self.fail:
            raise self.fail[index]
        self.starts_ns.append(self.now_takes(LOADS_MW[index]))
        time.sleep(request.warmup_min_duration_ns / 1e9)
        begin_ns = time.monotonic_ns()
        time.sleep(request.duration_ns / 1e9)
        done = engine_pb2.ChildWindowDone(
            begin_ns=begin_ns, end_ns=time.monotonic_ns(), queries=QUERIES, samples=QUERIES
        )
        self.now_takes(IDLE_MW)
        done.before.monotonic_ns, done.after.monotonic_ns = begin_ns, done.end_ns
        self.spoil(len(self.order), done)
        return done


class _Process:
    def __init__(self, bench: Bench, index: int) -> None:
        self._bench, self._index = bench, index

    def window(self, request: engine_pb2.ChildWindow, patience_s: float) -> engine_pb2.ChildWindowDone:
        assert patience_s > request.duration_ns / 1e9
        return self._bench.window(self._index, request)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def measure(
    bench: Bench, plan: plan_pb2.Plan, power_mw: Any = None, description: Description = METER, **options: Any
) -> list[EnergyOutcome]:
    variants = [EnergyVariant(name="float32", query_ns=1e6), EnergyVariant(name="int8", query_ns=1e6)]
    one = ScriptedMeter(description, power_mw or bench.power_mw)
    return measure_energy(variants, bench.process_of, one, plan, MACHINE, **{"facts": FACTS, **options})


def test_each_variant_gets_its_energy_and_windows_alternate(bench: Bench, tmp_path: Path) -> None:
    told: list[str] = []
    plan = a_plan(energy_windows=4)
    outcomes = measure(bench, plan, tell=told.append)
    assert [bench.order[2 * n : 2 * n + 2] for n in (0, 2)] == [
        bench.order[2 * n : 2 * n + 2][::-1] for n in (1, 3)
    ]
    assert sorted(bench.order) == [0] * 4 + [1] * 4
    assert len(told) == steps(2, plan) == 10
    assert told[0] == "bench: idle before"
    assert told[-1] == "bench: idle after"
    for index, outcome in enumerate(outcomes):
        energy = outcome.energy
        assert energy.status == MEASURED
        assert energy.method == "trapezoid"
        assert (energy.windows_kept, energy.windows_voided, energy.inferences) == (4, 0, 4 * QUERIES)
        assert energy.mean_power_mw == pytest.approx(LOADS_MW[index], rel=0.02)
        an_inference_s = energy.windows_duration_ns / 1e9 / energy.inferences
        assert energy.gross_uj_per_inference == pytest.approx(energy.mean_power_mw * an_inference_s * 1000)
        assert energy.idle_before_mw == pytest.approx(IDLE_MW, rel=0.02)
        assert energy.idle_after_mw == pytest.approx(IDLE_MW, rel=0.02)
        assert energy.net_uj_per_inference == pytest.approx(
            (LOADS_MW[index] - IDLE_MW) * an_inference_s * 1000, rel=0.05
        )
        assert energy.meter.name == "bench"
        assert outcome.failure is None
        assert [block.kept for block in outcome.seen] == [True] * 4

        path = tmp_path / f"trace-{index}.npz"
        write_trace(str(path), outcome)
        with np.load(path, allow_pickle=False) as trace:
            readings = trace["power_monotonic_ns"].size
            assert readings > 50
            assert trace["power_total_mw"].shape == (readings,)
            assert trace["power_mw"].shape == (readings, 1)
            assert trace["windows_ns"].shape == (4, 2)
            assert trace["windows_kept"].all()
            assert trace["idle_ns"].shape == (2, 2)
            inside = (trace["power_monotonic_ns"] > trace["windows_ns"][0, 0]) & (
                trace["power_monotonic_ns"] < trace["windows_ns"][0, 1]
            )
            assert trace["power_total_mw"][inside].mean() == pytest.approx(LOADS_MW[index], rel=0.02)


def test_windows_are_as_long_as_the_meter_needs(bench: Bench) -> None:
    """Twenty readings, and a warm-up of five time constants and two readings."""
    plan = a_plan(energy_windows=1, idle_duration_ns=0)
    measure(bench, plan, description=meter(rate_hz=100.0, lag_s=0.02))
    request = bench.requests[0]
    assert request.duration_ns == 400_000_000
    assert request.warmup_min_duration_ns == 120_000_000
    assert request.warmup_min_queries == 2


def test_a_query_longer_than_settling_is_met_by_idle_on_either_side(bench: Bench) -> None:
    slow = [EnergyVariant(name="slow", query_ns=1e9)]
    one = ScriptedMeter(meter(rate_hz=100.0, lag_s=0.02), bench.power_mw)
    outcome = measure_energy(slow, bench.process_of, one, a_plan(energy_windows=2), MACHINE, facts=FACTS)[0]
    assert bench.requests[0].warmup_min_queries == 0
    assert bench.requests[0].warmup_min_duration_ns == 0
    assert outcome.energy.lag_rule == "extended"
    assert outcome.energy.status == MEASURED


def test_a_throttled_window_is_void_by_that_name_and_repeated(bench: Bench) -> None:
    def spoil(number: int, done: engine_pb2.ChildWindowDone) -> None:
        if number == 2:
            done.before.throttle_events, done.after.throttle_events = 3, 4

    bench.spoil = spoil
    outcomes = measure(bench, a_plan())
    spoilt = outcomes[bench.order[1]].energy
    assert (spoilt.windows_kept, spoilt.windows_voided) == (3, 1)
    assert dict(spoilt.void_reasons) == {"throttled": 1}
    assert len(bench.order) == 7
    assert bench.order[-1] == bench.order[1]
    assert outcomes[bench.order[1]].degraded == ()


def test_windows_that_are_always_void_end_in_an_honest_void(bench: Bench) -> None:
    def spoil(_number: int, done: engine_pb2.ChildWindowDone) -> None:
        done.after.throttled_bits = 1 << 2

    bench.spoil = spoil
    outcome = measure(bench, a_plan())[0]
    assert outcome.energy.status == VOID
    # Three, and two that were repeated.
    assert outcome.energy.windows_voided == 5
    assert outcome.energy.detail == "0 of 3 windows could be kept: throttled voided 5"
    assert outcome.energy.mean_power_mw == pytest.approx(LOADS_MW[0], rel=0.02)


def test_a_meter_that_freezes_voids_what_came_after(bench: Bench) -> None:
    def freezing(at_ns: int) -> float:
        until_ns = bench.starts_ns[2] + SECOND // 100 if len(bench.starts_ns) > 2 else at_ns
        return bench.power_mw(min(at_ns, until_ns))

    outcomes = measure(bench, a_plan(max_voided_blocks=0), freezing)
    reasons = [dict(outcome.energy.void_reasons) for outcome in outcomes]
    assert sum(reason.get("meter_stuck", 0) for reason in reasons) == 4
    assert all(set(reason) <= {"meter_stuck"} for reason in reasons)


def test_a_meter_that_goes_away_ends_the_phase_by_its_own_name(bench: Bench) -> None:
    gone = MeterError("meter_gone", "no more /sys/class/hwmon/hwmon1")

    def leaving(at_ns: int) -> Any:
        left = len(bench.starts_ns) > 2 and at_ns > bench.starts_ns[2] + SECOND // 10
        return gone if left else bench.power_mw(at_ns)

    outcomes = measure(bench, a_plan(), leaving)
    assert len(bench.order) == 3
    for outcome in outcomes:
        assert set(outcome.energy.void_reasons) == {"meter_gone"}
        assert "no more /sys/class/hwmon/hwmon1" in outcome.energy.detail + str(outcome.degraded)
        assert outcome.energy.windows_kept + outcome.energy.windows_voided == 3


@pytest.mark.parametrize(
    ("says", "code"),
    [(MeterError("meter_forbidden", "add agent to group i2c"), "meter_forbidden")],
)
def test_a_meter_that_never_reads_takes_no_window(bench: Bench, says: MeterError, code: str) -> None:
    outcome = measure(bench, a_plan(), lambda now: says)[0]
    assert bench.order == []
    assert outcome.energy.status == VOID
    assert dict(outcome.energy.void_reasons) == {code: 3}
    assert "add agent to group i2c" in outcome.energy.detail
    assert outcome.trace == {}


def test_readings_that_fail_void_by_what_is_missing(bench: Bench) -> None:
    """EAGAIN from the first window on, now and then with a number in between."""

    def failing(at_ns: int) -> float | None:
        lost = bench.starts_ns and at_ns // (SECOND // 100) % 16
        return None if lost else bench.power_mw(at_ns)

    outcome = measure(bench, a_plan(max_voided_blocks=0), failing)[0]
    assert outcome.energy.status == VOID
    assert dict(outcome.energy.void_reasons) == {"meter_few_readings": 3}


def test_a_variant_that_crashes_leaves_the_others_alone(bench: Bench) -> None:
    bench.fail = {0: VariantError("crashed", "the variant's process ended with SIGSEGV")}
    outcomes = measure(bench, a_plan())
    assert outcomes[0].failure == ("crashed", "the variant's process ended with SIGSEGV")
    assert outcomes[0].energy.status == VOID
    assert dict(outcomes[0].energy.void_reasons) == {"crashed": 3}
    assert bench.order.count(0) == 1
    assert outcomes[1].energy.status == MEASURED


def test_the_deadline_ends_it_all(bench: Bench) -> None:
    bench.fail = {0: DeadlineError()}
    with pytest.raises(DeadlineError):
        measure(bench, a_plan())


def test_a_calibration_is_reported(bench: Bench) -> None:
    facts = device_pb2.MeterFacts(name="bench", calibrated_gain=1.02, calibrated_offset_mw=-15)
    outcome = measure(bench, a_plan(energy_windows=1), facts=facts)[0]
    assert outcome.energy.meter.calibrated_gain == 1.02


def test_no_meter_is_a_state_of_its_own() -> None:
    energy = no_meter("no meter on this board")
    assert energy.status == result_pb2.ENERGY_STATUS_NO_METER
    assert energy.detail == "no meter on this board"
    assert not energy.HasField("meter")
    assert not_asked().status == result_pb2.ENERGY_STATUS_NOT_ASKED
