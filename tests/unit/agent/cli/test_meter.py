"""`edgemeter-agent meter`, on boards made of files."""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import psutil
import pytest

from edgemeter_agent import cli
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.cli import meter, meter_calibrate
from edgemeter_agent.cli.meter_watch import as_record, bar
from edgemeter_agent.failure import AgentError
from edgemeter_agent.meters import WALL, Meter, MeterError, Reading, calibration, registry, spec
from tests.boards import jetson, pc, raspberry_pi
from tests.unit.agent.meters.simulated_meter import SimulatedMeter


def parsed(tmp_path: Path, *words: str) -> argparse.Namespace:
    arguments = ["meter", *words, "--state-dir", str(tmp_path / "state")]
    return cli.parser_for(arguments).parse_args(arguments)


def run(tmp_path: Path, board: BoardRoot, *words: str) -> int:
    return meter.run(parsed(tmp_path, *words), board)


@pytest.mark.parametrize("action", ["", "ls", "watch", "calibrate"])
def test_every_help_has_an_example(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["meter", *action.split(), "--help"])
    assert ended.value.code == 0
    assert f"example:\n  edgemeter-agent meter {action}" in capsys.readouterr().out


def test_ls_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, jetson.orin_nano_jp6(tmp_path / "board"), "ls") == 0
    assert capsys.readouterr().out.splitlines() == [
        "ina3221",
        "  covers    module",
        "  total     VDD_IN; beside it VDD_CPU_GPU_CV, VDD_SOC",
        "  readings  23.3 a second, steps of 40 mW, lag 0.43 s, no energy counter",
        "  accuracy  0.61% and 46.2 mW, standard uncertainty",
        "  read by   hwmon, ina3221 1-0040; total is VDD_IN",
    ]


def test_ls_says_what_to_do_about_a_meter_that_cannot_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, pc.x86_rapl(tmp_path / "board", forbidden=True), "ls") == 0
    name, reason = capsys.readouterr().out.splitlines()
    assert name == "rapl"
    assert "sysfs.conf" in reason


def test_ls_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, jetson.thor(tmp_path / "board"), "ls", "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["name"], first["usable"], first["coverage"]) == ("ina238", True, "board")
    assert first["rails"] == [{"name": "VIN", "in_total": True}]
    assert second["lag_s"] == pytest.approx(0.007)
    assert (first["calibrated_gain"], first["calibrated_offset_mw"]) == (None, None)


def test_ls_of_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, jetson.thor(tmp_path / "board"), "ls", "--json", "--meter", "ina3221") == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == ["ina3221"]


def test_ls_without_a_meter(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, jetson.nano_2gb(tmp_path / "board"), "ls") == 0
    assert capsys.readouterr().out.startswith("no meter on this board")


def test_watch_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = jetson.orin_nano_jp6(tmp_path / "board")
    assert run(tmp_path, board, "watch", "--json", "--duration", "0.3", "--rate", "1000") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines
    for line in lines:
        assert line["total_mw"] == pytest.approx(9309.696)
        assert line["rails_mw"]["VDD_SOC"] == pytest.approx(2407.68)
        assert (line["readings"], line["faults"], line["counter_uj"]) == (1, {}, None)
    stamps = [line["monotonic_ns"] for line in lines]
    assert stamps == sorted(stamps)


def test_watch_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = jetson.orin_nano_jp6(tmp_path / "board")
    assert run(tmp_path, board, "watch", "--duration", "0.2", "--rate", "1000") == 0
    heading, *lines, summary = capsys.readouterr().out.splitlines()
    assert heading == "ina3221: module; hwmon, ina3221 1-0040; total is VDD_IN"
    assert lines[0].split()[:3] == ["9.310", "W", "#" * 30]
    assert "VDD_CPU_GPU_CV 2.247" in lines[0]
    assert summary.startswith("mean 9.310 W, 9.310 to 9.310 W, ")


def test_watch_of_nothing_but_faults_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = jetson.orin_nano_jp6(tmp_path / "board")
    (tmp_path / "board/sys/class/hwmon/hwmon1/in1_input").write_text("?\n")
    assert run(tmp_path, board, "watch", "--duration", "0.2") == 1
    said = capsys.readouterr().out
    assert "1 x rubbish" in said
    assert said.endswith("no reading had a number\n")


def test_a_record_averages_what_is_there() -> None:
    readings = [
        Reading(monotonic_ns=1, total_mw=100, rails_mw=(100,), counter_uj=5),
        Reading(monotonic_ns=2, total_mw=None, fault="EAGAIN"),
        Reading(monotonic_ns=3, total_mw=200, rails_mw=(None,), counter_uj=7),
    ]
    assert as_record(SimulatedMeter().description, readings) == {
        "monotonic_ns": 3,
        "total_mw": 150,
        "rails_mw": {"VIN": 100},
        "counter_uj": 7,
        "readings": 2,
        "faults": {"EAGAIN": 1},
    }


@pytest.mark.parametrize(("power", "most", "filled"), [(5, 10, 15), (10, 10, 30), (-1, 10, 0), (0, 0, 0)])
def test_the_bar(power: float, most: float, filled: int) -> None:
    assert bar(power, most) == "#" * filled + "." * (30 - filled)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["watch"], "no meter on this board (rapl: "),
        (["watch", "--meter", "pmic"], "no meter pmic on this board; there is rapl (can't be used"),
        (["ls", "--meter", "rapl"], "meter rapl can't be used: "),
        (["watch", "--meter", "nonsense:x"], "nonsense:x"),
        (["calibrate", "--meter", "a", "--reference", "a"], "its own reference"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, words: list[str], said: str) -> None:
    with pytest.raises(AgentError) as refused:
        run(tmp_path, pc.x86_rapl(tmp_path / "board", forbidden=True), *words)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "words",
    [
        ["watch", "--rate", "0"],
        ["watch", "--duration", "nan"],
        ["calibrate"],
        ["calibrate", "--point", "5"],
        ["calibrate", "--point", "x=5"],
        ["calibrate", "--point", "5=5", "--load-w", "5"],
    ],
)
def test_wrong_words_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["meter", *words])
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_calibrate_by_points(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    board = raspberry_pi.pi5(tmp_path / "board")
    words = ["calibrate", "--meter", "pmic", "--point", "2.0=2.9", "--point", "6.0=7.3", "--json"]
    assert run(tmp_path, board, *words) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["meter"], printed["points"]) == ("pmic", 2)
    assert printed["gain"] == pytest.approx(1.1)
    assert printed["offset_mw"] == pytest.approx(700)
    # 1 % either way, and the meter's steps of 6 mW
    assert printed["gain_uncertainty"] == pytest.approx(1.1 * 0.01 / 3**0.5, rel=0.01)
    folder = tmp_path / "state" / "calibrations"
    assert printed["path"] == str(folder / "pmic.json")
    meter_now = registry.choose(registry.find(board, calibrations_dir=folder), "")
    assert meter_now is not None
    assert registry.facts(meter_now).calibrated_gain == pytest.approx(1.1)
    assert run(tmp_path, board, "ls") == 0
    assert "corrected x 1.1000, +700.0 mW" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--point", "2=20", "--point", "6=60"], "the gain would be 10"),
        (["--point", "2=2.5", "--point", "2=2.6"], "at every load"),
    ],
)
def test_a_rubbish_calibration_is_not_kept(tmp_path: Path, words: list[str], said: str) -> None:
    with pytest.raises(AgentError, match=said):
        run(tmp_path, raspberry_pi.pi5(tmp_path / "board"), "calibrate", *words)
    assert not (tmp_path / "state").exists()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loads need no time to settle."""
    monkeypatch.setattr(meter_calibrate, "settling_s", lambda *_described: 0.0)


@pytest.mark.usefixtures("hurried")
def test_calibrate_by_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    board = jetson.orin_nano_jp6(tmp_path / "board")
    current = tmp_path / "board/sys/class/hwmon/hwmon1/curr1_input"

    class Loads:
        """Whoever sets the loads: the first Enter leaves 1856 mA, the second comes with 3000 mA."""

        lines = iter(("first\n", "second\n"))

        def readline(self) -> str:
            line = next(self.lines)
            if line == "second\n":
                current.write_text("3000\n")
            return line

    monkeypatch.setattr("sys.stdin", Loads())
    words = ["calibrate", "--load-w", "10", "--load-w", "16", "--duration", "0.3", "--load-error", "0.5"]
    assert run(tmp_path, board, *words) == 0
    asked = capsys.readouterr()
    assert "set the load to 16 W, then press Enter" in asked.err
    known = calibration.load(tmp_path / "state/calibrations", "ina3221")
    assert known is not None
    assert known.gain == pytest.approx(6000 / (5016 * (3000 - 1856) / 1000))
    assert (known.points, known.reference) == (2, "known loads")
    assert "from 2 loads, by known loads" in asked.out


@pytest.mark.usefixtures("hurried")
def test_one_load_asks_nothing_and_leaves_the_zero(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = jetson.orin_nano_jp6(tmp_path / "board")
    assert run(tmp_path, board, "calibrate", "--load-w", "10", "--duration", "0.3") == 0
    assert "the zero is not known from one load" in capsys.readouterr().out
    known = calibration.load(tmp_path / "state/calibrations", "ina3221")
    assert known is not None
    assert known.gain == pytest.approx(10_000 / 9309.696)
    assert known.offset_uncertainty_mw is None
    # the meter's own zero, 46 mW of 9.3 W, a step of 40 mW, and a load known to 1 %
    assert known.gain_uncertainty == pytest.approx(0.0081, abs=0.0003)


@pytest.mark.usefixtures("hurried")
def test_an_end_of_the_input_is_no_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(AgentError, match="the input ended"):
        run(tmp_path, jetson.orin_nano_jp6(tmp_path / "board"), "calibrate", "--load-w", "5", "--load-w", "9")


@pytest.mark.usefixtures("hurried")
def test_calibrate_by_a_reference_under_its_own_two_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The board's meter reads a tenth too little and 100 mW too much of what the plug sees."""

    def load_w() -> float:
        """More while `busy` has its processes."""
        children = psutil.Process().children()
        return 4000.0 + (3000.0 if children else 0.0)

    plug = SimulatedMeter("shelly:plug", WALL, load_w, gain_error=0.005, offset_error_mw=20)
    own = SimulatedMeter("own", "board", lambda: load_w() / 1.1 + 100)

    def open_spec(_text: str, _board: BoardRoot | None = None) -> Meter:
        return plug

    monkeypatch.setattr(spec, "open_spec", open_spec)
    monkeypatch.setattr(registry, "FINDERS", {"own": lambda _board: [own]})
    words = ["calibrate", "--reference", "shelly:plug", "--duration", "0.3"]
    assert run(tmp_path, BoardRoot(tmp_path), *words) == 0
    known = calibration.load(tmp_path / "state/calibrations", "own")
    assert known is not None
    assert known.gain == pytest.approx(1.1)
    assert known.offset_mw == pytest.approx(-110)
    assert (known.reference, known.coverage) == ("meter shelly:plug", "wall")
    said = capsys.readouterr()
    assert "idle" in said.err
    assert "all processors busy" in said.err
    assert own.closed
    assert plug.closed


@pytest.mark.usefixtures("hurried")
def test_a_meter_that_goes_away_while_calibrating(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = SimulatedMeter("own", power_mw=lambda: MeterError("meter_gone", "unplugged"))
    monkeypatch.setattr(registry, "FINDERS", {"own": lambda _board: [gone]})
    with pytest.raises(AgentError, match="unplugged"):
        run(tmp_path, BoardRoot(tmp_path), "calibrate", "--load-w", "5", "--duration", "600")
    assert gone.closed
