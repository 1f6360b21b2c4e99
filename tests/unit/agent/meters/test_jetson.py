"""Meters of Jetson boards: what is found, and what they read."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import BOARD, MODULE, MeterError, ina238, ina3221_hwmon, ina3221_iio, registry
from edgemeter_agent.meters.jetson_rails import DOUBLE_COUNT
from tests.boards import jetson
from tests.boards.tree import Faults, plant
from tests.unit.agent.meters.looking import look_once, only, unusable

HWMON = "sys/class/hwmon/hwmon1"


@pytest.mark.parametrize(
    ("build", "rails", "in_total", "total_mw", "coverage"),
    [
        (
            jetson.orin_nano_jp6,
            ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"),
            {"VDD_IN"},
            9309.696,
            MODULE,
        ),
        # 0x40 alone: VDDQ_VDD2_1V8AO is fed from VIN_SYS_5V0
        (
            jetson.agx_orin,
            ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO"),
            {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"},
            jetson.AGX_ORIN_TOTAL_MW,
            MODULE,
        ),
        (
            jetson.xavier_nx,
            ("VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"),
            {"VDD_IN"},
            3923.2,
            MODULE,
        ),
        (
            jetson.nano_jp4,
            ("POM_5V_IN", "POM_5V_GPU", "POM_5V_CPU"),
            {"POM_5V_IN"},
            2532,
            MODULE,
        ),
        # the board's input and nothing beside it
        (jetson.thor, ("VIN",), {"VIN"}, 28_800, BOARD),
    ],
)
def test_what_is_read_on_a_board(
    tmp_path: Path,
    build: Callable[[Path], BoardRoot],
    rails: tuple[str, ...],
    in_total: set[str],
    total_mw: float,
    coverage: str,
) -> None:
    meter = registry.choose(registry.find(build(tmp_path)), "")
    assert meter is not None
    said = meter.description
    assert tuple(rail.name for rail in said.rails) == rails
    assert {rail.name for rail in said.rails if rail.in_total} == in_total
    assert said.coverage == coverage
    reading = look_once(meter)
    assert reading.total_mw == pytest.approx(total_mw, abs=0.05)
    assert len(reading.rails_mw) == len(rails)
    assert None not in reading.rails_mw


def test_nano_2gb_has_no_meter(tmp_path: Path) -> None:
    assert registry.find(jetson.nano_2gb(tmp_path)) == []


def test_the_industrial_agx_orin_counts_no_rail_of_its_carrier(tmp_path: Path) -> None:
    board = jetson.agx_orin(tmp_path, industrial=True)
    found = registry.find(board)
    assert [registry.name_of(each) for each in found] == ["ina3221", "hwmon-ina219"]
    meter = registry.choose(found, "")
    assert meter is not None
    reading = look_once(meter)
    assert reading.total_mw == pytest.approx(jetson.AGX_ORIN_TOTAL_MW)
    names = [rail.name for rail in meter.description.rails]
    assert dict(zip(names, reading.rails_mw, strict=True))["CVB_ATX_12V"] == pytest.approx(3600)


def test_the_rails_beside_the_total(tmp_path: Path) -> None:
    reading = look_once(only(ina3221_hwmon.find(jetson.orin_nano_jp6(tmp_path))))
    assert reading.rails_mw == pytest.approx((9309.696, 2247.168, 2407.68))


@pytest.mark.parametrize("update_interval_ms", [430, 1])
def test_what_is_known_of_orin_nanos_chip(tmp_path: Path, update_interval_ms: int) -> None:
    board = jetson.orin_nano_jp6(tmp_path, update_interval_ms=update_interval_ms)
    said = only(ina3221_hwmon.find(board)).description
    assert said.lag_s == pytest.approx(0.43, abs=0.001)
    assert said.resolution_mw == pytest.approx(40)
    assert said.offset_error_mw == pytest.approx(46.2, abs=0.1)
    assert said.rate_hz == pytest.approx(23.3, abs=0.1)
    assert not said.has_counter
    assert said.detail == "hwmon, ina3221 1-0040; total is VDD_IN"


def test_steps_of_a_sum_add_in_squares(tmp_path: Path) -> None:
    said = only(ina3221_hwmon.find(jetson.agx_orin(tmp_path))).description
    assert said.resolution_mw == pytest.approx((380**2 + 380**2 + 100**2) ** 0.5)


def test_thor_has_its_modules_rails_as_a_second_meter(tmp_path: Path) -> None:
    found = registry.find(jetson.thor(tmp_path))
    assert [registry.name_of(each) for each in found] == ["ina238", "ina3221"]
    module = registry.choose(found, "ina3221")
    assert module is not None
    assert module.description.coverage == MODULE
    reading = look_once(module)
    # One step below zero is a reading, and stays one.
    assert reading.rails_mw == pytest.approx((-392, 9800, 9984))
    assert reading.total_mw == pytest.approx(19_392)
    assert module.description.lag_s == pytest.approx(0.007)


def test_thor_without_the_input_chip(tmp_path: Path) -> None:
    found = registry.find(jetson.thor(tmp_path, with_input=False))
    assert [registry.name_of(each) for each in found] == ["ina3221"]


def test_ina238s_lag_is_the_drivers_averaging(tmp_path: Path) -> None:
    said = only(ina238.find(jetson.thor(tmp_path))).description
    assert said.lag_s == pytest.approx(0.0505, abs=1e-4)


def test_ina238_on_another_board_covers_what_it_is_wired_to(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {f"{HWMON}/name": "ina238\n", f"{HWMON}/power1_input": "1000\n", f"{HWMON}/update_interval": "200\n"},
    )
    said = only(ina238.find(BoardRoot(tmp_path))).description
    assert (said.coverage, said.lag_s) == ("only what ina238 is wired to", 0.2)


@pytest.mark.parametrize(
    ("running_mode", "lag_s"),
    [
        pytest.param("0\n", 0, id="each read converts"),
        pytest.param("1\n", 0.4224, id="continuous"),
        pytest.param(None, 0.4224, id="unknown, so the worse"),
    ],
)
def test_lag_with_nvidias_own_driver(tmp_path: Path, running_mode: str | None, lag_s: float) -> None:
    board = jetson.nano_jp4(tmp_path)
    if running_mode is not None:
        plant(tmp_path, {"sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/running_mode": running_mode})
    assert only(ina3221_iio.find(board)).description.lag_s == pytest.approx(lag_s)


def test_nvidias_own_driver_without_a_file_of_power(tmp_path: Path) -> None:
    board = jetson.nano_jp4(tmp_path)
    for number in range(3):
        (tmp_path / f"sys/bus/i2c/drivers/ina3221x/6-0040/iio:device0/in_power{number}_input").unlink()
    assert look_once(only(ina3221_iio.find(board))).total_mw == pytest.approx(2532)


def test_an_unknown_board_is_not_summed_silently(tmp_path: Path) -> None:
    board = jetson.agx_orin(tmp_path)
    plant(
        tmp_path,
        {"proc/device-tree/model": "Somebody's board\0", "proc/device-tree/compatible": "some,body\0"},
    )
    said = only(ina3221_hwmon.find(board)).description
    assert said.coverage == DOUBLE_COUNT
    assert all(rail.in_total for rail in said.rails)


@pytest.mark.parametrize(
    ("file", "code", "fault"),
    [
        ("hwmon1/curr1_input", errno.EAGAIN, "EAGAIN"),
        ("hwmon1/in1_input", errno.ENODATA, "ENODATA"),
        ("hwmon1/curr1_input", errno.EIO, "EIO"),
        ("hwmon1/curr1_input", errno.EREMOTEIO, "EREMOTEIO"),
    ],
)
def test_what_passes_is_a_reading_with_a_fault(tmp_path: Path, file: str, code: int, fault: str) -> None:
    board = jetson.orin_nano_jp6(tmp_path)
    meter = only(ina3221_hwmon.find(board))
    assert isinstance(board.opener, Faults)
    board.opener[file] = code
    reading = look_once(meter)
    assert (reading.total_mw, reading.rails_mw, reading.fault) == (None, (), fault)
    del board.opener[file]
    assert look_once(meter).total_mw == pytest.approx(9309.7, abs=0.05)


def test_a_rail_beside_the_total_may_fail_alone(tmp_path: Path) -> None:
    board = jetson.orin_nano_jp6(tmp_path)
    meter = only(ina3221_hwmon.find(board))
    assert isinstance(board.opener, Faults)
    board.opener["hwmon1/curr2_input"] = errno.EAGAIN
    reading = look_once(meter)
    assert reading.total_mw == pytest.approx(9309.7, abs=0.05)
    module_mw, processors_mw, soc_mw = reading.rails_mw
    assert (module_mw, processors_mw) == (reading.total_mw, None)
    assert soc_mw == pytest.approx(2407.68)
    assert not reading.fault


@pytest.mark.parametrize(
    ("code", "named", "said"),
    [
        (errno.ENOENT, "meter_gone", "is gone"),
        (errno.ENODEV, "meter_gone", "is gone"),
        (errno.EACCES, "meter_forbidden", "udev"),
    ],
)
def test_what_does_not_pass_ends_the_readings(tmp_path: Path, code: int, named: str, said: str) -> None:
    board = jetson.orin_nano_jp6(tmp_path)
    meter = only(ina3221_hwmon.find(board))
    assert isinstance(board.opener, Faults)
    board.opener["hwmon1/in1_input"] = code
    with pytest.raises(MeterError, match=said) as failed:
        look_once(meter)
    assert failed.value.code == named


def test_rubbish_is_a_fault(tmp_path: Path) -> None:
    board = jetson.orin_nano_jp6(tmp_path)
    meter = only(ina3221_hwmon.find(board))
    (tmp_path / HWMON / "curr1_input").write_text("n/a\n")
    assert look_once(meter).fault == "rubbish"


@pytest.mark.parametrize(
    ("build", "find", "file"),
    [
        (jetson.orin_nano_jp6, ina3221_hwmon.find, "curr1_input"),
        (jetson.nano_jp4, ina3221_iio.find, "in_current0_input"),
        (jetson.thor, ina238.find, "power1_input"),
    ],
)
def test_no_permission_is_said_before_anything_is_read(
    tmp_path: Path,
    build: Callable[[Path], BoardRoot],
    find: Callable[[BoardRoot], list[registry.Found]],
    file: str,
) -> None:
    board = replace(build(tmp_path), opener=Faults({file: errno.EACCES}))
    each = unusable(find(board))
    assert file in each.reason
    assert "root" in each.reason


def test_finding_reads_no_power(tmp_path: Path) -> None:
    """With drivers that block on each read for the conversion time, that would take seconds."""
    board = jetson.orin_nano_jp6(tmp_path)
    opened: list[str] = []

    class Watching(Faults):
        def __call__(self, path: str) -> int:
            opened.append(path)
            return super().__call__(path)

    watched = replace(board, opener=Watching(board.opener if isinstance(board.opener, Faults) else {}))
    only(ina3221_hwmon.find(watched))
    assert not [path for path in opened if path.endswith(("in1_input", "in2_input", "in3_input"))]


def test_the_stamp_is_midway_through_the_reads_of_the_total(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps = iter((1000, 3000))
    meter = only(ina3221_hwmon.find(jetson.orin_nano_jp6(tmp_path)))
    monkeypatch.setattr(time, "monotonic_ns", lambda: next(stamps))
    assert look_once(meter).monotonic_ns == 2000


def test_without_l4t_reads_are_taken_to_wait(tmp_path: Path) -> None:
    board = jetson.orin_nano_jp6(tmp_path)
    (tmp_path / "etc/nv_tegra_release").unlink()
    assert only(ina3221_hwmon.find(board)).description.rate_hz == pytest.approx(0.8 / (6 * 0.43))
