"""A laptop's battery."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import BOARD, MeterError, battery
from tests.boards import pc
from tests.boards.tree import plant
from tests.unit.agent.meters.looking import look_once, only, unusable

BAT0 = "sys/class/power_supply/BAT0"


@pytest.mark.parametrize("power_file", [True, False])
def test_power_while_discharging(tmp_path: Path, power_file: bool) -> None:
    meter = only(battery.find(pc.laptop(tmp_path, power_file=power_file)))
    assert [rail.name for rail in meter.description.rails] == ["BAT0"]
    assert meter.description.coverage == BOARD
    assert meter.description.lag_s > 0
    assert look_once(meter).total_mw == pytest.approx(8400)


@pytest.mark.parametrize("status", ["Charging", "Full", "Not charging", "Unknown"])
def test_on_mains_it_tells_nothing_of_the_board(tmp_path: Path, status: str) -> None:
    each = unusable(battery.find(pc.laptop(tmp_path, status=status)))
    assert status.lower() in each.reason
    assert "unplug" in each.reason


def test_a_second_battery_that_rests_gives_nothing(tmp_path: Path) -> None:
    board = pc.laptop(tmp_path)
    second = "sys/class/power_supply/BAT1"
    plant(
        tmp_path,
        {f"{second}/type": "Battery\n", f"{second}/status": "Not charging\n", f"{second}/power_now": "999\n"},
    )
    reading = look_once(only(battery.find(board)))
    assert (reading.total_mw, reading.rails_mw) == (8400, (8400, 0))


def test_the_charger_in_the_middle_is_a_fault(tmp_path: Path) -> None:
    meter = only(battery.find(pc.laptop(tmp_path)))
    (tmp_path / BAT0 / "status").write_text("Charging\n")
    reading = look_once(meter)
    assert (reading.total_mw, reading.fault) == (None, "not_discharging")


def test_a_battery_that_is_taken_out(tmp_path: Path) -> None:
    meter = only(battery.find(pc.laptop(tmp_path)))
    (tmp_path / BAT0 / "power_now").unlink()
    with pytest.raises(MeterError) as failed:
        look_once(meter)
    assert failed.value.code == "meter_gone"


def test_a_battery_without_a_current(tmp_path: Path) -> None:
    board = pc.laptop(tmp_path)
    (tmp_path / BAT0 / "power_now").unlink()
    assert "neither power_now nor current_now" in unusable(battery.find(board)).reason


def test_a_mouses_battery_is_none_of_the_board(tmp_path: Path) -> None:
    plant(
        tmp_path,
        {
            "sys/class/power_supply/mouse/type": "Battery\n",
            "sys/class/power_supply/mouse/scope": "Device\n",
            "sys/class/power_supply/mouse/status": "Discharging\n",
        },
    )
    assert battery.find(BoardRoot(tmp_path)) == []
