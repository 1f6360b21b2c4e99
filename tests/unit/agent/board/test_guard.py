"""What was, written down before it is changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from edgemeter_agent.board import guard
from edgemeter_agent.board.guard import Guard
from edgemeter_agent.board.root import BoardRoot

Plant = Callable[[dict[str, str]], BoardRoot]
SETTING = "sys/devices/system/cpu/cpufreq/boost"
NOTE = "run/edgemeter-agent/settings.json"
PATIENCE_S = 30

HOLDER = """
import sys, time
from pathlib import Path
from edgemeter_agent.board.guard import Guard
from edgemeter_agent.board.root import BoardRoot
with Guard(BoardRoot(Path(sys.argv[1])), sys.argv[2]).changed({sys.argv[3]: "0"}) as why_not:
    print(why_not, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def board(plant: Plant) -> BoardRoot:
    return plant({SETTING: "1\n"})


@pytest.fixture
def holder(board: BoardRoot) -> subprocess.Popen[str]:
    """A process that has changed the setting and lives."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(board.root), NOTE, SETTING], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "None\n"
    assert board.text(SETTING) == "0"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE_S)


def test_what_a_living_process_changed_is_left_alone_until_it_is_killed(
    board: BoardRoot, holder: subprocess.Popen[str]
) -> None:
    ours = Guard(board, NOTE)
    try:
        assert not ours.restore()
        assert board.text(SETTING) == "0"
    finally:
        kill(holder)
    assert ours.restore()
    assert board.text(SETTING) == "1"
    assert not board.path(NOTE).exists()


def test_a_corpse_that_nobody_has_collected_holds_nothing(
    board: BoardRoot, holder: subprocess.Popen[str]
) -> None:
    holder.send_signal(signal.SIGKILL)
    # Dead, and not waited for.
    os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
    try:
        assert Guard(board, NOTE).restore()
        assert board.text(SETTING) == "1"
    finally:
        holder.wait(PATIENCE_S)


def test_one_that_is_about_to_end_is_waited_for(board: BoardRoot, holder: subprocess.Popen[str]) -> None:
    killer = threading.Timer(0.1, kill, (holder,))
    killer.start()
    assert Guard(board, NOTE).restore(patience_s=PATIENCE_S)
    killer.join()
    assert board.text(SETTING) == "1"


def test_a_number_that_another_process_has_now_holds_nothing(plant: Plant) -> None:
    # Our parent lives, and did not start when the holder did.
    told = {
        "pid": os.getppid(),
        "start_ticks": (guard.started_ticks(os.getppid()) or 0) + 1,
        "was": {SETTING: "1"},
    }
    board = plant({SETTING: "0", NOTE: json.dumps(told)})
    assert Guard(board, NOTE).restore()
    assert board.text(SETTING) == "1"


def test_what_cannot_be_put_back_stays_written_down(
    board: BoardRoot, holder: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kill(holder)
    with monkeypatch.context() as patched:
        patched.setattr(guard, "set_all", lambda _board, _settings: "/sys/…: permission denied")
        assert not Guard(board, NOTE).restore()
    assert Guard(board, NOTE).restore()
    assert board.text(SETTING) == "1"


def test_a_setting_that_is_gone_keeps_nothing_from_being_put_back(
    board: BoardRoot, holder: subprocess.Popen[str]
) -> None:
    kill(holder)
    board.path(SETTING).unlink()
    assert Guard(board, NOTE).restore()
    assert not board.path(SETTING).exists()


def test_nothing_is_written_through_a_link(board: BoardRoot, tmp_path: Path) -> None:
    treasure = tmp_path / "treasure"
    treasure.write_text("gold")
    board.path(NOTE).parent.mkdir(parents=True)
    board.path(NOTE).symlink_to(treasure)
    Guard(board, NOTE).write({SETTING: "1"})
    assert treasure.read_text() == "gold"
    assert not board.path(NOTE).is_symlink()


def test_a_setting_that_is_there_already_needs_no_guard(board: BoardRoot) -> None:
    with Guard(board, NOTE).changed({SETTING: "1"}) as why_not:
        assert why_not is None
        assert not board.path(NOTE).exists()


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("sys/devices/system/cpu/cpufreq/policy12/scaling_governor", True),
        ("sys/devices/system/cpu/smt/control", True),
        ("proc/sys/kernel/randomize_va_space", True),
        ("proc/sys/kernel/core_pattern", False),
        ("sys/devices/system/cpu/cpufreq/policy0/../../x/scaling_governor", False),
        ("/etc/shadow", False),
    ],
)
def test_only_these_settings_are_ever_written(path: str, ours: bool) -> None:
    assert (guard.only_settings({path: "x" * 1000}) == {path: "x" * 64}) is ours
