"""Settings are changed, noted, and put back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edgemeter_agent.board.governor import GUARD
from edgemeter_agent.board.guard import started_ticks
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.tuning import clocks, memory
from edgemeter_agent.tuning.advice import Advice, Step
from edgemeter_agent.tuning.apply import NOTE, Changed, Outcome, TuningError, apply, read, undo

CPU = "sys/devices/system/cpu"
GOVERNOR, BOOST = f"{CPU}/cpufreq/policy0/scaling_governor", f"{CPU}/cpufreq/boost"
LOGS = "#!/bin/sh\necho $(basename $0) $* >> {root}/log\n"


@pytest.fixture
def board(tmp_path: Path) -> BoardRoot:
    files = {
        GOVERNOR: "ondemand\n",
        BOOST: "1\n",
        "proc/swaps": "Filename Type Size Used Prio\n/dev/zram0 partition 9 0 100\n/var/swap file 9 0 -2\n",
        "run/keep": "",
        "log": "",
    }
    for program in ("swapoff", "swapon", "systemctl", "jetson_clocks"):
        files[f"bin/{program}"] = LOGS.format(root=tmp_path)
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        if name.startswith("bin/"):
            path.chmod(0o755)
    return BoardRoot(tmp_path)


def advices(board: BoardRoot) -> list[Advice]:
    found = [clocks.governor(board), clocks.boost(board), memory.swap(board)]
    steps = (Step(kind="service", what="snapd.service"), Step(kind="jetson_clocks"))
    found.append(Advice(name="others", current="on", wanted="off", why="", steps=steps))
    return [advice for advice in found if advice is not None]


def log(board: BoardRoot) -> list[str]:
    return board.text("log").splitlines()


def test_all_is_changed_and_put_back(board: BoardRoot) -> None:
    outcomes = apply(board, advices(board))
    assert outcomes == [Outcome(name=name) for name in ("governor", "boost", "swap", "others")]
    assert (board.text(GOVERNOR), board.text(BOOST)) == ("performance", "0")
    assert log(board) == [
        "swapoff /dev/zram0",
        "swapoff /var/swap",
        "systemctl stop snapd.service",
        "jetson_clocks --store",
        "jetson_clocks",
    ]
    board.write("log", "")
    undone = undo(board)
    assert not any(outcome.failure for outcome in undone)
    assert (board.text(GOVERNOR), board.text(BOOST)) == ("ondemand", "1")
    # the last one first
    assert log(board) == [
        "jetson_clocks --restore",
        "systemctl start snapd.service",
        "swapon /var/swap",
        "swapon /dev/zram0",
    ]
    assert not board.path(NOTE).exists()
    assert undo(board) == []


def test_applying_twice_remembers_what_was_first(board: BoardRoot) -> None:
    apply(board, advices(board))
    board.write(GOVERNOR, "powersave")
    apply(board, advices(board))
    assert board.text(GOVERNOR) == "performance"
    undo(board)
    assert board.text(GOVERNOR) == "ondemand"


def test_what_is_quiet_or_by_hand_is_left_alone(board: BoardRoot) -> None:
    kept = [
        Advice(name="quiet", current="x", why="", settings={GOVERNOR: "x"}),
        Advice(name="by hand", current="x", wanted="y", why="", by_hand="hardware", settings={GOVERNOR: "x"}),
    ]
    assert apply(board, kept) == []
    assert not board.path(NOTE).exists()


def test_a_failure_is_one_line_leaves_nothing_half_done_and_the_others_go_on(board: BoardRoot) -> None:
    board.path("bin/swapoff").write_text("#!/bin/sh\necho 'swapoff: Operation not permitted' >&2\nexit 1\n")
    half = Advice(
        name="half",
        current="x",
        wanted="y",
        why="",
        settings={BOOST: "0", f"{CPU}/smt/control": "off"},
    )
    board.path(f"{CPU}/smt").mkdir()
    # Can be read, and not written.
    board.path(f"{CPU}/smt/control").symlink_to("/proc/version")
    outcomes = {outcome.name: outcome.failure for outcome in apply(board, [half, *advices(board)[:3]])}
    assert outcomes["half"].startswith(f"/{CPU}/smt/control: ")
    assert outcomes["swap"] == "swapoff: swapoff: Operation not permitted"
    assert (outcomes["governor"], outcomes["boost"]) == ("", "")
    assert all("\n" not in failure for failure in outcomes.values())
    # Only what was really changed is to be put back.
    assert read(board) == Changed(was={GOVERNOR: "ondemand", BOOST: "1"})


def test_what_cannot_be_noted_is_not_changed(board: BoardRoot) -> None:
    board.path("run/keep").unlink()
    board.path("run").rmdir()
    board.path("run").write_text("in the way")
    (outcome,) = apply(board, advices(board)[:1])
    assert "left alone" in outcome.failure
    assert board.text(GOVERNOR) == "ondemand"


def test_what_cannot_be_put_back_stays_noted(board: BoardRoot) -> None:
    apply(board, advices(board)[2:3])
    board.path("bin/swapon").write_text("#!/bin/sh\nexit 1\n")
    first, second = undo(board)
    assert first.failure
    assert second.failure
    assert read(board).steps == (Step(kind="swap", what="/dev/zram0"), Step(kind="swap", what="/var/swap"))


@pytest.mark.parametrize(
    "told",
    [
        {"was": {"etc/passwd": "root::0:0"}, "steps": [["service", "sshd.service"], ["sh", "-c reboot"]]},
        {"was": {}, "steps": [["swap", "/dev/x; reboot"]]},
        {"was": [], "steps": []},
        {"steps": [1]},
        [],
    ],
)
def test_a_note_that_somebody_else_wrote_does_nothing(board: BoardRoot, told: object) -> None:
    board.path("etc").mkdir()
    board.path("etc/passwd").write_text("before")
    board.path(NOTE).write_text(json.dumps(told))
    undo(board)
    assert board.text("etc/passwd") == "before"
    assert log(board) == []


def test_nothing_is_changed_while_something_is_measured(board: BoardRoot) -> None:
    parent = os.getppid()
    told = {"pid": parent, "start_ticks": started_ticks(parent), "was": {GOVERNOR: "ondemand"}}
    board.path(GUARD).parent.mkdir(parents=True)
    board.path(GUARD).write_text(json.dumps(told))
    with pytest.raises(TuningError, match=f"process {parent} is measuring"):
        apply(board, advices(board))
    with pytest.raises(TuningError, match=f"process {parent} is measuring"):
        undo(board)
    assert board.text(GOVERNOR) == "ondemand"


def test_what_a_killed_measurement_left_is_put_back_first(board: BoardRoot) -> None:
    board.write(GOVERNOR, "performance")
    told = {"pid": 2**22 + 1, "start_ticks": 1, "was": {GOVERNOR: "ondemand"}}
    board.path(GUARD).parent.mkdir(parents=True)
    board.path(GUARD).write_text(json.dumps(told))
    assert undo(board) == []
    assert board.text(GOVERNOR) == "ondemand"
