"""Processes that die in the middle of a study: it completes, and no result is lost or doubled."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.desk import PATIENCE_S, Desk, until

pytestmark = [pytest.mark.slow, pytest.mark.needs_tensorflow]

STUDY = (
    "edgemeter bench {m}/stripes.keras --data {m}/stripes.npz --recipe float32 --recipe int8"
    " --device all --profile quick --set processes=3 --name cut --no-wait"
)


@pytest.fixture
def running(desk: Desk, material: Path) -> tuple[Desk, dict[str, Any]]:
    """A desk on which the study `cut` is measuring: the coordinator is started[0], the agent [1]."""
    desk.serve()
    desk.join()
    agent = desk.attend()
    desk.ok(STUDY.format(m=material))
    until("a variant is being measured", lambda: desk.measuring(agent))
    return desk, desk.study("cut")


def completed(desk: Desk) -> dict[str, Any]:
    """The study once it has ended."""
    ended = {"completed", "failed", "cancelled"}
    study: dict[str, Any] = until(
        "the study ends", lambda: (s := desk.study("cut"))["state"] in ended and s, PATIENCE_S * 2
    )
    assert study["state"] == "completed", study
    return study


def each_result_once(desk: Desk) -> None:
    rows = desk.json("edgemeter result export cut")
    assert sorted(row["recipe"] for row in rows) == ["float32@tflite", "int8@tflite"]
    assert all(row["latency"]["n"] > 0 for row in rows)


def test_agent_killed_while_it_measures(running: tuple[Desk, dict[str, Any]]) -> None:
    desk, _ = running
    agent = desk.started[1]
    children = psutil.Process(agent.pid).children(recursive=True)
    agent.kill()
    agent.wait()
    # Nothing of the dead agent goes on measuring beside the new one.
    until("its processes end", lambda: not alive(children), 20)
    desk.attend()
    study = completed(desk)
    assert study["jobs"][0]["attempt"] == 2
    each_result_once(desk)


def test_coordinator_killed_while_the_agent_measures(running: tuple[Desk, dict[str, Any]]) -> None:
    desk, _ = running
    coordinator = desk.started[0]
    coordinator.kill()
    coordinator.wait()
    desk.serve()
    study = completed(desk)
    # The agent went on by itself, and its attempt still counts.
    assert study["jobs"][0]["attempt"] == 1
    each_result_once(desk)


def test_coordinator_killed_while_it_converts(desk: Desk, material: Path) -> None:
    coordinator = desk.serve()
    desk.join()
    desk.attend()
    desk.ok(STUDY.format(m=material))
    until(
        "a variant is being converted",
        lambda: any(variant["state"] == "converting" for variant in desk.study("cut")["variants"]),
    )
    os.killpg(coordinator.pid, signal.SIGKILL)
    coordinator.wait()
    desk.serve()
    completed(desk)
    each_result_once(desk)


def test_cancel_stops_the_measuring_processes(running: tuple[Desk, dict[str, Any]]) -> None:
    desk, _ = running
    agent = desk.started[1]
    measuring = desk.measuring(agent)
    assert measuring
    desk.ok("edgemeter study cancel cut")
    until("the variant processes end", lambda: not alive(measuring), 2)
    assert desk.study("cut")["state"] == "cancelled"
    # The board is free for the next study.
    assert agent.poll() is None
    until("no engine is left", lambda: not psutil.Process(agent.pid).children(), 10)


def test_variant_process_killed(running: tuple[Desk, dict[str, Any]]) -> None:
    """The variant whose process died is void with the reason; the other one is measured."""
    desk, _ = running
    # Two: not the empty runtime's, which runs alone, and neither is done with its blocks.
    both = until("both variant processes", lambda: len(p := desk.measuring(desk.started[1])) == 2 and p)
    victim = both[-1]
    victim.kill()
    ended = {"completed", "failed"}
    until("the study ends", lambda: desk.study("cut")["state"] in ended, PATIENCE_S)
    rows = desk.json("edgemeter result export cut")
    assert len(rows) == 2
    crashed = [row for row in rows if "crashed" in {reason["code"] for reason in row["verdict"]["reasons"]}]
    assert len(crashed) == 1
    assert crashed[0]["verdict"]["state"] == "void"
    assert all(row["latency"]["n"] for row in rows if row not in crashed)


def test_agent_ends_cleanly_on_sigterm(running: tuple[Desk, dict[str, Any]]) -> None:
    desk, _ = running
    agent = desk.started[1]
    children = psutil.Process(agent.pid).children(recursive=True)
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(20) == 0
    until("its processes end", lambda: not alive(children), 5)
    # The job is back in the queue, and another run of the agent completes it.
    until("the job waits again", lambda: desk.study("cut")["jobs"][0]["state"] == "queued", 30)
    desk.attend()
    completed(desk)
    each_result_once(desk)


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that still run; a zombie does not."""
    return [p for p in processes if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
