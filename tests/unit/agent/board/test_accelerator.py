"""The accelerator's clock, and who else holds it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgemeter_agent.board import accelerator
from edgemeter_agent.board.root import BoardRoot

Plant = Callable[[dict[str, str]], BoardRoot]


def process(board: BoardRoot, pid: int, parent: int, *files: str) -> Path:
    folder = board.path(f"proc/{pid}/fd")
    folder.mkdir(parents=True)
    board.path(f"proc/{pid}/stat").write_text(f"{pid} (a (name)) S {parent} 1 1\n")
    for number, target in enumerate(files):
        (folder / str(number)).symlink_to(target)
    return folder


@pytest.fixture
def orin(plant: Plant) -> BoardRoot:
    board = plant({"dev/nvmap": "", "dev/nvgpu/igpu0/ctrl": "", "proc/meminfo": ""})
    process(board, 1, 0, "/dev/null")
    return board


def test_other_processes_that_hold_it_are_counted_and_the_harness_is_not(orin: BoardRoot) -> None:
    process(orin, 800, 1, "/dev/null", "/dev/nvgpu/igpu0/channel", "/dev/nvmap")
    process(orin, 801, 1, "/dev/nvhost-ctrl-gpu")
    process(orin, 802, 1, "/home/me/dev/nvmap")
    # this process, the one that started it, and its siblings
    process(orin, os.getpid(), os.getppid(), "/dev/nvmap")
    process(orin, os.getppid(), 1, "/dev/nvmap")
    process(orin, 803, os.getppid(), "/dev/nvmap")
    reading = accelerator.users(orin)
    assert (reading.value, reading.detail) == (2, "open files under /proc/*/fd")


def test_files_that_are_hidden_leave_no_count_but_what_was_seen(
    orin: BoardRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = process(orin, 900, 1)
    iterdir = Path.iterdir

    def guarded(path: Path) -> Iterator[Path]:
        if path == hidden:
            raise PermissionError(13, "Permission denied")
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", guarded)
    reading = accelerator.users(orin)
    assert reading.value is None
    assert "1 processes of other users are hidden from this user; root sees them" in reading.detail
    process(orin, 901, 1, "/dev/nvmap")
    assert accelerator.users(orin).value == 1


def test_a_board_without_one(plant: Plant) -> None:
    board = plant({"proc/meminfo": ""})
    assert "no accelerator's device" in accelerator.users(board).detail
    assert accelerator.users(board).value is None
    assert accelerator.frequency_hz(board).value is None


def test_the_gpus_clock(plant: Plant) -> None:
    thor = plant(
        {
            "sys/class/devfreq/gpu-gpc-0/cur_freq": "1300000000\n",
            "sys/class/devfreq/gpu-gpc-1/cur_freq": "1000000000\n",
            "sys/class/devfreq/gpu-nvd-0/cur_freq": "1800000000\n",
        }
    )
    assert accelerator.frequency_hz(thor).value == 1_300_000_000
