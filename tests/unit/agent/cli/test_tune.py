"""`edgemeter-agent doctor --tune`, as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgemeter_agent import cli
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.cli import doctor
from edgemeter_agent.tuning import services

CPU = "sys/devices/system/cpu"
GOVERNOR = f"{CPU}/cpufreq/policy0/scaling_governor"


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BoardRoot:
    monkeypatch.setattr(services, "PROBE_S", 0.0)
    for name, content in {GOVERNOR: "ondemand\n", f"{CPU}/cpufreq/boost": "0\n", "run/keep": ""}.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return BoardRoot(tmp_path)


def run(board: BoardRoot, *words: str) -> int:
    return doctor.run(cli.parser_for(["doctor"]).parse_args(["doctor", *words]), board)


def test_a_dry_run_says_what_why_and_how(board: BoardRoot, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(board, "--tune", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "noisy  governor: ondemand -> performance\n         why: the clock follows the load" in said
    assert f"         do:  echo performance | sudo tee /{CPU}/cpufreq/policy*/scaling_governor" in said
    assert "quiet  boost: off" in said
    assert "noisy  psi: off -> on" in said
    assert "by hand: takes a reboot" in said
    assert "`sudo edgemeter-agent doctor --tune --apply` changes 1 of them" in said
    assert board.text(GOVERNOR) == "ondemand"


def test_json(board: BoardRoot, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(board, "--tune", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["governor"]["can_be_applied"] is True
    assert rows["governor"]["wanted"] == "performance"
    assert rows["boost"] == {
        "name": "boost",
        "quiet": True,
        "current": "off",
        "wanted": None,
        "why": rows["boost"]["why"],
        "command": None,
        "can_be_applied": False,
        "by_hand": None,
    }


def test_apply_and_undo(board: BoardRoot, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(board, "--tune", "--apply") == 0
    assert capsys.readouterr().out == "changed: governor\n"
    assert board.text(GOVERNOR) == "performance"
    assert run(board, "--undo", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [{"name": f"/{GOVERNOR}", "done": True, "failure": None}]
    assert board.text(GOVERNOR) == "ondemand"
    assert run(board, "--undo") == 0
    assert capsys.readouterr().out == "nothing had been changed\n"


def test_what_fails_is_one_line_and_an_exit_code(
    board: BoardRoot, capsys: pytest.CaptureFixture[str]
) -> None:
    # Nobody, not even root, writes there.
    board.path(GOVERNOR).unlink()
    board.path(GOVERNOR).symlink_to("/proc/version")
    assert run(board, "--tune", "--apply") == 1
    assert capsys.readouterr().out.startswith(f"not changed: governor: /{GOVERNOR}: ")


def test_apply_without_tune_is_refused(board: BoardRoot, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(board, "--apply") == 2
    assert "give both" in capsys.readouterr().err


def test_on_this_machine() -> None:
    command = [sys.executable, "-m", "edgemeter_agent", "doctor", "--tune", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert {"swap", "psi"} <= {row["name"] for row in json.loads(done.stdout)}
