"""Chips of hwmon that no other meter takes."""

from __future__ import annotations

import errno
from pathlib import Path
from threading import Event

import pytest

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import BOARD, MeterError, hwmon, registry
from edgemeter_agent.meters.jetson_rails import DOUBLE_COUNT
from tests.boards import jetson, pc, raspberry_pi
from tests.boards.tree import Faults, plant
from tests.unit.agent.meters.looking import look, look_once, only, unusable

CHIP = "sys/class/hwmon/hwmon4"


def chip(root: Path, name: str, files: dict[str, str], faults: Faults | None = None) -> BoardRoot:
    plant(
        root, {f"{CHIP}/name": f"{name}\n", **{f"{CHIP}/{file}": f"{text}\n" for file, text in files.items()}}
    )
    return BoardRoot(root, opener=Faults() if faults is None else faults)


def test_an_ina219_counts_once(tmp_path: Path) -> None:
    meter = only(hwmon.find(raspberry_pi.pi4_with_ina219(tmp_path)))
    said = meter.description
    assert (said.name, said.coverage) == ("hwmon-ina219", "only what ina219 is wired to")
    reading = look_once(meter)
    assert (reading.total_mw, reading.rails_mw) == (4940, (4940,))
    # 10 uV over 0.1 Ohm are 0.1 mA; the register of the power has steps of 20 of them
    assert said.resolution_mw == pytest.approx(2)
    # 100 uV over sqrt(3) and 0.1 Ohm, at 5 V
    assert said.offset_error_mw == pytest.approx(2.887, abs=0.001)
    assert said.lag_s == pytest.approx(0.001064)
    assert "shunt 100 mOhm" in said.detail
    assert "10 times" not in said.detail


def test_the_drivers_own_shunt_is_warned_of(tmp_path: Path) -> None:
    said = only(hwmon.find(raspberry_pi.pi4_with_ina219(tmp_path, shunt_uohm=10_000))).description
    assert "10 times too high" in said.detail
    assert said.resolution_mw == pytest.approx(20)


@pytest.mark.parametrize(
    ("name", "files", "total_mw", "lag_s"),
    [
        # the product, where there is no power
        ("ina226", {"in0_input": "5", "in1_input": "5000", "curr1_input": "900"}, 4500, 0.0352),
        # update_interval holds the averaging
        ("ina226", {"in1_input": "5000", "curr1_input": "900", "update_interval": "141"}, 4500, 0.141),
        # a server's input; power1_average may stand for power1_input
        ("power_meter", {"power1_average": "183000000", "power1_average_interval": "1000"}, 183_000, 1.0),
        ("power_meter", {"power1_average": "183000000"}, 183_000, 1.0),
        ("power_meter", {"power1_average": "183000000", "power1_input": "190000000"}, 190_000, 1.0),
        ("amdgpu", {"power1_average": "31000000", "in0_input": "800"}, 31_000, 0),
        # what is of channel 2 does not belong to channel 1
        ("ltc2945", {"in1_input": "12000", "in2_input": "5000", "curr1_input": "1000"}, 12_000, 0),
    ],
)
def test_what_a_chip_reads(
    tmp_path: Path, name: str, files: dict[str, str], total_mw: float, lag_s: float
) -> None:
    meter = only(hwmon.find(chip(tmp_path, name, files)))
    assert look_once(meter).total_mw == pytest.approx(total_mw)
    assert meter.description.lag_s == pytest.approx(lag_s)
    assert meter.description.coverage == (BOARD if name == "power_meter" else f"only what {name} is wired to")


def test_several_powers_of_a_chip_may_hold_each_other(tmp_path: Path) -> None:
    files = {
        "power1_input": "5000000",
        "power1_label": "in",
        "power2_input": "3000000",
        "power2_label": "out",
    }
    meter = only(hwmon.find(chip(tmp_path, "max34440", files)))
    assert DOUBLE_COUNT in meter.description.coverage
    assert [rail.name for rail in meter.description.rails] == ["in", "out"]
    assert look_once(meter).total_mw == 8000


def test_energy_beside_power_is_its_counter(tmp_path: Path) -> None:
    meter = only(hwmon.find(chip(tmp_path, "ina228", {"power1_input": "5000000", "energy1_input": "700"})))
    assert meter.description.has_counter
    readings = meter.readings(Event())
    assert next(readings).counter_uj == 0
    (tmp_path / CHIP / "energy1_input").write_text("1900\n")
    assert next(readings).counter_uj == 1200


def test_energy_alone_gives_power(tmp_path: Path) -> None:
    board = chip(tmp_path, "amd_energy", {"energy1_input": "1000000", "energy1_label": "Esocket0"})
    meter = only(hwmon.find(board))
    assert meter.description.has_counter
    first, second = look(meter, 2)
    assert (first.total_mw, first.counter_uj) == (0, 0)
    assert (second.total_mw, second.counter_uj) == (0, 0)


@pytest.mark.parametrize(
    "files",
    [
        {"in1_input": "1480", "in2_input": "2536", "temp1_input": "54310"},
        {"in0_lcrit_alarm": "0"},
        {"curr1_input": "900"},
        # a limit, not a reading
        {"power1_cap": "95000000", "power1_crit": "1"},
        {"in_power0_trigger_input": "0"},
    ],
)
def test_chips_without_power_are_no_meters(tmp_path: Path, files: dict[str, str]) -> None:
    assert hwmon.find(chip(tmp_path, "rp1_adc", files)) == []


def test_supplies_and_chips_with_meters_of_their_own_are_left_out(tmp_path: Path) -> None:
    assert hwmon.find(pc.laptop(tmp_path / "laptop")) == []
    assert hwmon.find(jetson.thor(tmp_path / "thor")) == []


def test_two_chips_alike_are_told_apart_by_place(tmp_path: Path) -> None:
    for number, device in ((5, "1-0040"), (6, "1-0041")):
        home = f"sys/devices/i2c-1/{device}/hwmon/hwmon{number}"
        plant(
            tmp_path,
            {f"{home}/name": "ina219\n", f"{home}/power1_input": f"{number}000\n"},
            {f"sys/class/hwmon/hwmon{number}": home},
        )
    names = [registry.name_of(meter) for meter in hwmon.find(BoardRoot(tmp_path))]
    assert names == ["hwmon-ina219-1-0040", "hwmon-ina219-1-0041"]


def test_a_name_of_a_chip_holds_no_colon(tmp_path: Path) -> None:
    """Names with a colon mean external meters."""
    for number, device in ((5, "0000:03:00.0"), (6, "0000:04:00.0")):
        home = f"sys/devices/pci/{device}/hwmon/hwmon{number}"
        plant(
            tmp_path,
            {f"{home}/name": "amdgpu\n", f"{home}/power1_average": "1\n"},
            {f"sys/class/hwmon/hwmon{number}": home},
        )
    for meter in hwmon.find(BoardRoot(tmp_path)):
        assert ":" not in registry.name_of(meter)


def test_faults(tmp_path: Path) -> None:
    faults = Faults()
    meter = only(hwmon.find(chip(tmp_path, "ina219", {"power1_input": "1000000"}, faults)))
    faults["power1_input"] = errno.ETIMEDOUT
    assert look_once(meter).fault == "ETIMEDOUT"
    faults["power1_input"] = errno.ENODEV
    with pytest.raises(MeterError, match="hwmon ina219 is gone"):
        look_once(meter)


def test_no_permission(tmp_path: Path) -> None:
    board = chip(tmp_path, "power_meter", {"power1_average": "1"}, Faults({"power1_average": errno.EACCES}))
    assert "root" in unusable(hwmon.find(board)).reason
