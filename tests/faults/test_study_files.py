"""A study file's run that is cut off: the same command goes on, and nothing is made twice."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.desk import PATIENCE_S, Desk, until

pytestmark = [pytest.mark.slow, pytest.mark.needs_tensorflow]

FILE = """\
name = "cut"
[defaults]
recipes = ["float32", "int8"]
[defaults.plan]
profile = "quick"
processes = 2
blocks = 3
settle_timeout = "0s"
energy_windows = 0

[[part]]
name = "first"
model = "stripes.keras"
data = "stripes.npz"

[[part]]
name = "second"
model = "stripes.keras"
data = "stripes.npz"
recipes = ["float32", "float16"]
"""

RUN = "edgemeter study run cut.toml --device rack=a"


@pytest.fixture
def ready(desk: Desk, material: Path) -> Desk:
    """A desk with a study file of two parts; the coordinator is started[0], the agent [1]."""
    for name in ("stripes.keras", "stripes.npz"):
        shutil.copy(material / name, desk.folder / name)
    (desk.folder / "cut.toml").write_text(FILE)
    desk.serve()
    desk.join()
    desk.attend()
    return desk


def started(desk: Desk, part: str) -> None:
    """Waits until the part's study is measuring."""
    until(
        f"{part} is being measured",
        lambda: any(s["name"] == part and s["state"] == "measuring" for s in desk.json("edgemeter study ls")),
    )
    until("a variant process runs", lambda: desk.measuring(desk.started[1]))


def each_once(desk: Desk, *names: str) -> None:
    """These studies completed, with two results each."""
    assert {desk.study(name)["state"] for name in names} == {"completed"}
    for name in names:
        rows = desk.json(f"edgemeter result export {name}")
        assert len(rows) == 2
        assert all(row["latency"]["n"] > 0 for row in rows)


def made(desk: Desk) -> list[str]:
    return sorted(study["name"] for study in desk.json("edgemeter study ls"))


def test_the_command_is_killed(ready: Desk) -> None:
    command = ready.start(RUN, "run.log")
    started(ready, "cut/first")
    # A part that does not complete leaves the other to be made.
    ready.ok("edgemeter study cancel cut/first")
    started(ready, "cut/second")
    os.killpg(command.pid, signal.SIGKILL)
    command.wait()
    assert ready.study("cut/second")["state"] == "measuring"
    # The cancelled one is made again, beside it; the one that went on is waited for.
    outcome = ready.json(RUN)
    assert [(part["study"], part["state"]) for part in outcome["parts"]] == [
        ("cut/first/2", "completed"),
        ("cut/second", "completed"),
    ]
    assert made(ready) == ["cut/first", "cut/first/2", "cut/second"]
    each_once(ready, "cut/first/2", "cut/second")
    # Once more: everything is there already.
    outcome = ready.json(RUN)
    assert [(part["study"], part["reused"]) for part in outcome["parts"]] == [
        ("cut/first/2", True),
        ("cut/second", True),
    ]
    assert made(ready) == ["cut/first", "cut/first/2", "cut/second"]


def test_the_coordinator_is_killed(ready: Desk) -> None:
    command = ready.start(RUN, "run.log")
    started(ready, "cut/first")
    coordinator = ready.started[0]
    os.killpg(coordinator.pid, signal.SIGKILL)
    coordinator.wait()
    ready.serve()
    # The command that was there all along finishes both parts.
    assert command.wait(PATIENCE_S * 2) == 0, ready.log("run.log")
    assert made(ready) == ["cut/first", "cut/second"]
    each_once(ready, "cut/first", "cut/second")
