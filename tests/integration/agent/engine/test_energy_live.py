"""The whole way without a board: real variant processes load a simulated one, whose sensors are read by the
real meters; what comes out is held against the true energy."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from edgemeter_agent.board import throttling
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.conditions.judge import Machine
from edgemeter_agent.engine.energy_phase import EnergyOutcome, EnergyVariant, measure_energy
from edgemeter_agent.engine.variant_process import VariantProcess
from edgemeter_agent.meters import Meter, hwmon, ina3221_hwmon, pi5_pmic, rapl, registry
from edgemeter_protos.v1 import engine_pb2, plan_pb2, result_pb2
from tests.simulated_board import trees
from tests.simulated_board.load import ChildrenLoad
from tests.simulated_board.physics import Board
from tests.simulated_board.player import Player
from tests.simulated_board.sensors import Ina219, Ina3221, Pmic, Rapl, Sensor

SECOND = 1_000_000_000
MACHINE = Machine(cpu_count=os.cpu_count() or 1, threads=1, tick_ns=10_000_000)
PLAN = plan_pb2.Plan(
    energy_windows=3,
    energy_window_min_duration_ns=2 * SECOND,
    idle_duration_ns=2 * SECOND,
    warmup_min_queries=10,
    warmup_min_duration_ns=SECOND // 5,
    max_voided_blocks=6,
)
GAIN = 1.004


def found(meters: Sequence[object]) -> Meter:
    assert len(meters) == 1
    meter = meters[0]
    assert hasattr(meter, "readings"), meter
    return meter  # type: ignore[return-value]


class Undisturbed:
    """A variant's process on a machine that also runs other tests: of what it saw of its board, only what the
    board says of throttling is passed on."""

    def __init__(
        self, process: VariantProcess, meanwhile: Callable[[int], None] = lambda number: None
    ) -> None:
        self._process, self._meanwhile, self._windows = process, meanwhile, 0

    def window(self, request: engine_pb2.ChildWindow, patience_s: float) -> engine_pb2.ChildWindowDone:
        self._windows += 1
        self._meanwhile(self._windows)
        done = self._process.window(request, patience_s + 60)
        for snapshot in (done.before, done.after):
            seen = result_pb2.Snapshot(
                monotonic_ns=snapshot.monotonic_ns,
                throttled_bits=snapshot.throttled_bits,
                throttle_events=snapshot.throttle_events,
            )
            snapshot.CopyFrom(seen)
        return done


def measure(
    root: Path, meter: Meter, meanwhile: Callable[[int], None] = lambda number: None
) -> EnergyOutcome:
    """The empty runtime in a process of its own: it keeps one processor busy."""
    board = BoardRoot(root)
    with VariantProcess(board, time.monotonic_ns() + 280 * SECOND) as process:
        process.load(engine_pb2.ChildLoad(runtime="null", threads=1))
        process.golden(engine_pb2.ChildGolden())
        undisturbed = Undisturbed(process, meanwhile)
        variants = [EnergyVariant(name="null", query_ns=200.0)]
        return measure_energy(
            variants,
            lambda _: contextlib.nullcontext(undisturbed),
            meter,
            PLAN,
            MACHINE,
            facts=registry.facts(meter),
        )[0]


def true_gross_uj(player: Player, outcome: EnergyOutcome) -> float:
    """Of an inference, over the windows that were kept."""
    spans = outcome.trace["windows_ns"][outcome.trace["windows_kept"]]
    return (
        sum(player.truth.energy_uj(int(begin), int(end)) for begin, end in spans) / outcome.energy.inferences
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tree", "sensor", "find", "method", "lag_rule"),
    [
        (
            trees.ORIN_NANO,
            lambda: Ina3221(chip=trees.HWMON, gain=GAIN),
            ina3221_hwmon.find,
            "trapezoid",
            "interior",
        ),
        (trees.X86_RAPL, lambda: Rapl(zone=trees.RAPL_ZONE, gain=GAIN), rapl.find, "counter", ""),
        (trees.INA219, lambda: Ina219(chip=trees.HWMON, gain=GAIN), hwmon.find, "trapezoid", "interior"),
        (trees.PI5, lambda: Pmic(path=trees.PMIC_TEXT, gain=GAIN), pi5_pmic.find, "trapezoid", ""),
    ],
    ids=["orin nano", "x86", "ina219", "pi 5"],
)
def test_what_a_real_load_takes_of_a_simulated_board(
    tmp_path: Path,
    tree: dict[str, str],
    sensor: Callable[[], Sensor],
    find: Callable[[BoardRoot], Sequence[object]],
    method: str,
    lag_rule: str,
) -> None:
    root = trees.plant(tmp_path, tree)
    load = ChildrenLoad(os.getpid())
    with Player(root, Board(), [sensor()], load.busy_ns) as player:
        meter = found(find(BoardRoot(root)))
        try:
            outcome = measure(root, meter)
        finally:
            meter.close()
    energy = outcome.energy
    assert energy.status == result_pb2.ENERGY_STATUS_MEASURED, energy.detail
    assert energy.method == method
    assert energy.lag_rule == lag_rule
    truth = true_gross_uj(player, outcome)
    # Twice the stated interval: the machine that runs this is anything but quiet.
    assert abs(energy.gross_uj_per_inference - truth) <= max(2 * energy.gross_uncertainty_uj, 0.02 * truth)
    # However little of a processor the load gets, an idle reading in its place would be seen.
    assert energy.net_uj_per_inference > 0.05 * truth
    assert energy.mean_power_mw > energy.idle_before_mw + 200


@pytest.mark.slow
def test_an_under_voltage_in_the_middle_voids_its_window(tmp_path: Path) -> None:
    root = trees.plant(tmp_path, trees.PI5)
    load = ChildrenLoad(os.getpid())
    with Player(root, Board(), [Pmic(path=trees.PMIC_TEXT)], load.busy_ns) as player:

        def meanwhile(number: int) -> None:
            if number == 2:
                threading.Timer(1.0, player.under_voltage).start()

        outcome = measure(root, found(pi5_pmic.find(BoardRoot(root))), meanwhile)
    energy = outcome.energy
    assert energy.windows_kept == 3
    assert energy.void_reasons["under_voltage"] == 1
    assert [("under_voltage" in block.void_reasons) for block in outcome.seen].index(True) == 1


def test_the_player_knows_what_it_played(tmp_path: Path) -> None:
    """Half a core all the time, said to it: 4 + 2.5 W."""
    root = trees.plant(tmp_path, trees.X86_RAPL)
    board = Board(leakage_mw_per_c=0.0)
    begin_ns = time.monotonic_ns()
    with Player(root, board, [Rapl(zone=trees.RAPL_ZONE)], lambda now_ns: (now_ns - begin_ns) // 2) as player:
        time.sleep(0.3)
        middle_ns = time.monotonic_ns()
        time.sleep(0.3)
    assert player.truth.mean_mw(begin_ns + 100_000_000, middle_ns) == pytest.approx(6500, rel=0.01)
    counted = int((root / trees.RAPL_ZONE / "energy_uj").read_text())
    assert 0 <= counted < 262_143_328_850
    with pytest.raises(ValueError, match="not within"):
        player.truth.energy_uj(0, begin_ns)


def test_events_show_where_boards_show_them(tmp_path: Path) -> None:
    """A Jetson's counters and clock, and less power at half the clock; a warmer room."""
    root = trees.plant(tmp_path, trees.ORIN_NANO)
    begin_ns = time.monotonic_ns()
    board = Board(leakage_mw_per_c=0.0, warming_s=0.05)
    with Player(root, board, [], lambda now_ns: now_ns - begin_ns) as player:
        time.sleep(0.1)
        player.throttle(0.5)
        throttled_ns = time.monotonic_ns()
        player.under_voltage()
        player.warm_up(85.0)
        time.sleep(0.4)
        assert throttling.throttle_events(BoardRoot(root)).value == 2
        assert (root / trees.CPUFREQ / "scaling_cur_freq").read_text() == "864000\n"
    until_ns = time.monotonic_ns() - 100_000_000
    # 4 W, and 5 W of a busy core, of which half the clock takes a quarter.
    assert player.truth.mean_mw(begin_ns + 50_000_000, throttled_ns - 10_000_000) == pytest.approx(
        9000, rel=0.05
    )
    assert player.truth.mean_mw(throttled_ns, until_ns) == pytest.approx(5250, rel=0.05)
    assert int((root / trees.ZONE / "temp").read_text()) > 80_000


def test_a_sensor_shows_what_its_registers_can(tmp_path: Path) -> None:
    chip = Ina3221(chip="chip", lag_s=0.0)
    files = chip.advance(9309.7, 1)
    # 5016 mV x 1856 mA, and the shunt's voltage at 5 milliohm.
    assert files["chip/in1_input"] == "5016\n"
    assert files["chip/curr1_input"] == "1856\n"
    assert files["chip/in4_input"] == "9280\n"


def test_a_lag_is_of_first_order() -> None:
    chip = Ina3221(chip="chip", lag_s=0.5, shunt_uohm=40_000)
    chip.advance(1000.0, 1)
    shown = []
    for _ in range(100):
        files = chip.advance(3000.0, 10_000_000)
        shown.append(int(files["chip/curr1_input"]) * 5.016)
    # A second is two time constants.
    assert shown[-1] == pytest.approx(1000 + 2000 * (1 - np.exp(-2)), rel=0.02)
