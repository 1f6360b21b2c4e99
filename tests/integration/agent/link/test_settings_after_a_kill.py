"""The agent is killed in the middle of a measurement: the next one puts back what was set for it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgemeter_agent.board import governor
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.engine_process import _process_record
from edgemeter_agent.identity import Identity
from edgemeter_agent.link.driver import Link
from edgemeter_agent.state_dir import StateDir
from edgemeter_protos.v1 import device_pb2

POLICY = "sys/devices/system/cpu/cpufreq/policy0"
PATIENCE_S = 30

ENGINE = """
import sys, time
from pathlib import Path
from edgemeter_agent.board.governor import performance
from edgemeter_agent.board.root import BoardRoot
with performance(BoardRoot(Path(sys.argv[1]))) as why_not:
    print(why_not, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def board(tmp_path: Path) -> BoardRoot:
    board = BoardRoot(tmp_path / "board")
    board.path(POLICY).mkdir(parents=True)
    board.path(f"{POLICY}/scaling_governor").write_text("ondemand\n")
    return board


@pytest.fixture
def engine(board: BoardRoot) -> Iterator[subprocess.Popen[str]]:
    """A process that measures: it has set the governor."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(board.root)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "None\n"
    assert board.text(f"{POLICY}/scaling_governor") == "performance"
    yield process
    if process.poll() is None:
        process.kill()
    process.wait(PATIENCE_S)


@pytest.fixture
def start_agent(identity: Identity, board: BoardRoot, tmp_path: Path) -> Callable[[], None]:
    """An agent that starts, and ends before it does anything."""

    def start() -> None:
        state_dir = StateDir(tmp_path / "state")
        state_dir.create()
        link = Link(
            identity=identity,
            state_dir=state_dir,
            facts=device_pb2.DeviceFacts(hostname="raspberrypi"),
            engine_command=("false",),
            board=board,
        )
        link.stop("seen enough")
        assert link.run() == 0

    return start


def test_the_next_start_puts_it_back(
    engine: subprocess.Popen[str], board: BoardRoot, start_agent: Callable[[], None]
) -> None:
    engine.send_signal(signal.SIGKILL)
    engine.wait(PATIENCE_S)
    assert board.text(f"{POLICY}/scaling_governor") == "performance"
    start_agent()
    assert board.text(f"{POLICY}/scaling_governor") == "ondemand"
    assert not board.path(governor.GUARD).exists()


def test_an_engine_that_outlived_its_agent_is_killed_and_then_it_is_put_back(
    engine: subprocess.Popen[str], board: BoardRoot, start_agent: Callable[[], None], tmp_path: Path
) -> None:
    state_dir = StateDir(tmp_path / "state")
    state_dir.create()
    state_dir.engine_path.write_text(json.dumps(_process_record(engine.pid)))
    start_agent()
    assert engine.wait(PATIENCE_S) == -signal.SIGKILL
    assert board.text(f"{POLICY}/scaling_governor") == "ondemand"


def test_a_measurement_of_somebody_else_goes_on(
    engine: subprocess.Popen[str], board: BoardRoot, start_agent: Callable[[], None]
) -> None:
    start_agent()
    assert engine.poll() is None
    assert board.text(f"{POLICY}/scaling_governor") == "performance"
    os.kill(engine.pid, 0)
