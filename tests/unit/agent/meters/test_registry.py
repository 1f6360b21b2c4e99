"""Which meters there are, in which order, and which is meant."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edgemeter_agent.board import facts, observables
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import (
    BOARD,
    MODULE,
    PACKAGE,
    WALL,
    Meter,
    MeterError,
    Unusable,
    calibration,
    registry,
    spec,
)
from edgemeter_agent.meters.calibration import Calibration, save
from tests.boards import jetson, pc, raspberry_pi
from tests.unit.agent.meters.looking import look_once
from tests.unit.agent.meters.simulated_meter import SimulatedMeter

KNOWN = Calibration(
    gain=1.1,
    offset_mw=50,
    gain_uncertainty=0.011,
    offset_uncertainty_mw=5,
    points=2,
    reference="meter shelly:plug",
    coverage="",
    made_at="2026-11-22T10:00:00+00:00",
)


@pytest.mark.parametrize(
    ("build", "names"),
    [
        (jetson.orin_nano_jp6, ["ina3221"]),
        (jetson.agx_orin, ["ina3221"]),
        (jetson.xavier_nx, ["ina3221"]),
        (jetson.thor, ["ina238", "ina3221"]),
        (jetson.nano_jp4, ["ina3221"]),
        (jetson.nano_2gb, []),
        (raspberry_pi.pi5, ["pmic"]),
        (raspberry_pi.pi4, []),
        (raspberry_pi.pi4_with_ina219, ["hwmon-ina219"]),
        (pc.x86_rapl, ["rapl"]),
        (pc.laptop, ["battery"]),
    ],
)
def test_the_meters_of_a_board(tmp_path: Path, build: Callable[[Path], BoardRoot], names: list[str]) -> None:
    found = registry.find(build(tmp_path))
    assert [registry.name_of(each) for each in found] == names
    assert all(not isinstance(each, Unusable) for each in found)


def test_the_widest_coverage_comes_first_and_the_unusable_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    coverages = {
        "a": "only what ina219 is wired to",
        "b": PACKAGE,
        "c": "SoC and board rails, not USB/5 V",
        "d": MODULE,
        "e": WALL,
        "f": BOARD,
    }
    found: list[registry.Found] = [Unusable(name="z", reason="why")]
    found += [SimulatedMeter(name=name, coverage=coverage) for name, coverage in coverages.items()]
    monkeypatch.setattr(registry, "FINDERS", {"all": lambda _board: found})
    assert [registry.name_of(each) for each in registry.find(BoardRoot(tmp_path))] == list("efdcbaz")


def test_external_meters_are_opened_from_specs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def open_spec(text: str, board: BoardRoot | None = None) -> Meter:
        opened.append(spec.parse(text).name)
        if "gone" in text:
            raise MeterError("meter_gone", "nobody answers at gone")
        return SimulatedMeter(name=text.partition("?")[0], coverage=WALL)

    monkeypatch.setattr(spec, "open_spec", open_spec)
    found = registry.find(
        pc.x86_rapl(tmp_path), ["shelly:plug", "shelly:gone?password=secret", "nonsense:x?token=secret"]
    )
    assert [registry.name_of(each) for each in found[:2]] == ["shelly:plug", "rapl"]
    assert {registry.name_of(each) for each in found[2:]} == {"shelly:gone", "nonsense:x"}
    assert "secret" not in repr(found[2:])
    assert registry.choose(found, "shelly:plug") is found[0]
    assert opened[0] == "shelly:plug"


def test_the_same_name_twice_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = [SimulatedMeter(name="x"), SimulatedMeter(name="x")]
    monkeypatch.setattr(registry, "FINDERS", {"x": lambda _board: list(twice)})
    found = registry.find(BoardRoot(tmp_path))
    assert found == [twice[0], Unusable(name="x", reason="another meter has this name")]
    assert [meter.closed for meter in twice] == [False, True]


def test_a_finder_that_fails_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_board: BoardRoot) -> list[registry.Found]:
        raise OSError(errno.EIO, "I/O error")

    monkeypatch.setitem(registry.FINDERS, "hwmon", broken)
    found = registry.find(pc.x86_rapl(tmp_path))
    assert [registry.name_of(each) for each in found] == ["rapl", "hwmon"]


def test_choosing(tmp_path: Path) -> None:
    found: Sequence[registry.Found] = registry.find(jetson.thor(tmp_path))
    assert registry.choose(found, "") is found[0]
    assert registry.choose(found, "ina3221") is found[1]
    assert registry.choose([], "") is None
    assert registry.choose([Unusable(name="rapl", reason="r")], "") is None


@pytest.mark.parametrize(
    ("found", "wanted", "code", "line"),
    [
        (
            [SimulatedMeter(name="pmic"), Unusable(name="rapl", reason="root only")],
            "ina",
            "meter_unknown",
            "no meter ina on this board; there is pmic, rapl (can't be used: root only)",
        ),
        ([], "ina3221", "meter_unknown", "no meter ina3221 on this board; there is none"),
        (
            [Unusable(name="rapl", reason="root only")],
            "rapl",
            "meter_unusable",
            "meter rapl can't be used: root only",
        ),
    ],
)
def test_a_meter_that_is_not_there(found: list[registry.Found], wanted: str, code: str, line: str) -> None:
    with pytest.raises(MeterError) as refused:
        registry.choose(found, wanted)
    assert (refused.value.code, refused.value.detail) == (code, line)


def test_facts_of_a_meter(tmp_path: Path) -> None:
    meter = registry.choose(registry.find(jetson.orin_nano_jp6(tmp_path)), "")
    assert meter is not None
    told = registry.facts(meter)
    assert (told.name, told.kind, told.coverage) == ("ina3221", "ina3221", "module")
    assert list(told.rails) == ["VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC"]
    assert told.lag_ns == 430_000_000
    assert told.resolution_mw == pytest.approx(40)
    assert (told.calibrated_gain, told.calibrated_offset_mw) == (1, 0)


def test_a_calibration_is_applied_and_told(tmp_path: Path) -> None:
    board, folder = jetson.orin_nano_jp6(tmp_path / "board"), tmp_path / "calibrations"
    save(folder, "ina3221", KNOWN)
    meter = registry.choose(registry.find(board, calibrations_dir=folder), "")
    assert meter is not None
    assert look_once(meter).total_mw == pytest.approx(9309.696 * 1.1 + 50)
    told = registry.facts(meter)
    assert (told.calibrated_gain, told.calibrated_offset_mw) == (1.1, 50)
    assert told.gain_error == pytest.approx(0.01)


def test_a_broken_calibration_is_no_leave_to_read_uncorrected(tmp_path: Path) -> None:
    board, folder = jetson.orin_nano_jp6(tmp_path / "board"), tmp_path / "calibrations"
    calibration.path_of(folder, "ina3221").parent.mkdir()
    calibration.path_of(folder, "ina3221").write_text("{")
    (each,) = registry.find(board, calibrations_dir=folder)
    assert isinstance(each, Unusable)
    assert "calibrate again" in each.reason


def test_a_boards_facts_name_its_meters(tmp_path: Path) -> None:
    told = facts.read_facts(jetson.thor(tmp_path), {})
    assert [(meter.name, meter.coverage) for meter in told.meters] == [
        ("ina238", "board"),
        ("ina3221", "module"),
    ]
    energy = next(seen for seen in told.observables if seen.name == "energy")
    assert energy.available
    assert energy.detail.startswith("meter ina238 (board): ")


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (raspberry_pi.pi4, observables.NO_METER),
        (
            lambda root: pc.x86_rapl(root, forbidden=True),
            "rapl: /sys/class/powercap/intel-rapl:0/energy_uj may be",
        ),
        (lambda root: pc.laptop(root, status="Full"), "battery: BAT0 is full"),
    ],
)
def test_without_a_meter_the_board_says_why(
    tmp_path: Path, build: Callable[[Path], BoardRoot], said: str
) -> None:
    seen = {one.name: one for one in observables.observables(build(tmp_path))}["energy"]
    assert not seen.available
    assert seen.detail.startswith(said)


def test_looking_for_meters_loads_neither_numpy_nor_a_network_client(tmp_path: Path) -> None:
    code = (
        "import sys; from edgemeter_agent.meters import registry;"
        "from edgemeter_agent.board.root import BoardRoot;"
        "[registry.facts(one) for one in registry.find(BoardRoot()) if hasattr(one, 'description')];"
        "print([name for name in ('numpy', 'http.client', 'ssl', 'joulescope') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_closing_spares_the_chosen_one(tmp_path: Path) -> None:
    kept, other = SimulatedMeter(name="a"), SimulatedMeter(name="b")
    registry.close([kept, other, Unusable(name="c", reason="")], but=kept)
    assert (kept.closed, other.closed) == (False, True)
