from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from edgemeter_agent.board import governor
from edgemeter_agent.board.root import BoardRoot

Plant = Callable[[dict[str, str]], BoardRoot]
CPUFREQ = "sys/devices/system/cpu/cpufreq"
POLICIES = {
    f"{CPUFREQ}/policy0/scaling_governor": "ondemand\n",
    f"{CPUFREQ}/policy0/scaling_available_governors": "ondemand performance\n",
    f"{CPUFREQ}/policy4/scaling_governor": "schedutil\n",
    f"{CPUFREQ}/policy4/scaling_available_governors": "schedutil performance\n",
}


def current(board: BoardRoot) -> list[str]:
    return [board.text(f"{CPUFREQ}/policy{number}/scaling_governor") for number in (0, 4)]


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_performance_for_a_while_and_each_policy_gets_its_own_back(plant: Plant) -> None:
    board = plant(POLICIES)
    with governor.performance(board) as why_not:
        assert why_not is None
        assert current(board) == ["performance", "performance"]
        assert (
            json.loads(board.text(governor.GUARD))["was"][f"{CPUFREQ}/policy4/scaling_governor"]
            == "schedutil"
        )
    assert current(board) == ["ondemand", "schedutil"]
    assert not board.path(governor.GUARD).exists()


def test_put_back_when_the_measurement_is_terminated(plant: Plant) -> None:
    board = plant(POLICIES)
    with pytest.raises(SystemExit), governor.performance(board):
        raise SystemExit(143)
    assert current(board) == ["ondemand", "schedutil"]


def test_the_next_start_puts_back_what_a_killed_process_left(plant: Plant) -> None:
    left = {
        "pid": dead_pid(),
        "was": {
            f"{CPUFREQ}/policy0/scaling_governor": "ondemand",
            f"{CPUFREQ}/policy4/scaling_governor": "schedutil",
        },
    }
    board = plant(
        {
            **POLICIES,
            f"{CPUFREQ}/policy0/scaling_governor": "performance",
            f"{CPUFREQ}/policy4/scaling_governor": "performance",
            governor.GUARD: json.dumps(left),
        }
    )
    assert governor.restore_left_over(board)
    assert current(board) == ["ondemand", "schedutil"]
    assert not governor.restore_left_over(board)


def test_what_a_living_process_holds_is_left_alone(plant: Plant) -> None:
    left = {"pid": os.getppid(), "was": {f"{CPUFREQ}/policy0/scaling_governor": "powersave"}}
    board = plant({**POLICIES, governor.GUARD: json.dumps(left)})
    assert not governor.restore_left_over(board)
    assert current(board) == ["ondemand", "schedutil"]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"pid": "x", "was": {}}', '{"was": {}}', '{"pid": 1, "was": 3}']
)
def test_a_guard_that_was_cut_off_changes_nothing(plant: Plant, content: str) -> None:
    board = plant({**POLICIES, governor.GUARD: content})
    assert not governor.restore_left_over(board)
    assert current(board) == ["ondemand", "schedutil"]
    assert not board.path(governor.GUARD).exists()


def test_a_guard_names_no_file_that_is_no_setting_of_ours(plant: Plant) -> None:
    left = {"pid": dead_pid(), "was": {"etc/evil/scaling_governor": "x", f"{CPUFREQ}/../evil": "x"}}
    board = plant({**POLICIES, "etc/evil/scaling_governor": "before", governor.GUARD: json.dumps(left)})
    governor.restore_left_over(board)
    assert board.text("etc/evil/scaling_governor") == "before"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "no /sys/devices/system/cpu/cpufreq/policy*"),
        (
            {**POLICIES, f"{CPUFREQ}/policy0/scaling_available_governors": "powersave\n"},
            f"/{CPUFREQ}/policy0 offers powersave",
        ),
    ],
)
def test_where_it_cannot_be_set_the_measurement_goes_on(
    plant: Plant, files: dict[str, str], why: str
) -> None:
    board = plant(files)
    with governor.performance(board) as why_not:
        assert why_not == why
    assert not board.path(governor.GUARD).exists()


def test_without_a_guard_nothing_is_changed(plant: Plant) -> None:
    # A file where the folder should be: the guard can't be written.
    board = plant({**POLICIES, "run/edgemeter-agent": "in the way"})
    with governor.performance(board) as why_not:
        assert why_not is not None
        assert "left alone" in why_not
        assert current(board) == ["ondemand", "schedutil"]
