"""What an attached agent costs a board while nothing is measured: processor time and memory over 60 s, with
heartbeats every 10 s. At rest the agent gives back the pages of code that only starting up needed; its
private memory (USS) is what it holds in any case."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import psutil

from tests.benchmarks.figures import Figure
from tests.desk import Desk

SETTLE_S = 15
WINDOW_S = 60


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        try:
            desk.serve()
            desk.join()
            agent = psutil.Process(desk.attend().pid)
            time.sleep(SETTLE_S)
            return _watch(agent)
        finally:
            desk.finish()


def _watch(agent: psutil.Process) -> list[Figure]:
    before, begin = agent.cpu_times(), time.monotonic()
    resident, private = [], []
    while time.monotonic() - begin < WINDOW_S:
        time.sleep(5)
        memory = agent.memory_full_info()
        resident.append(memory.rss / 1e6)
        private.append(memory.uss / 1e6)
    after = agent.cpu_times()
    busy_s = after.user + after.system - before.user - before.system
    share = 100 * busy_s / (time.monotonic() - begin)
    rss = statistics.median(resident)
    return [
        Figure(
            what="processor time of the idle agent",
            unit="% of a core",
            ours=share,
            peer_name="",
            peer=None,
            ratio=None,
            target="<= 0.3 %",
            met=share <= 0.3,
        ),
        Figure(
            what="resident memory of the idle agent",
            unit="MB",
            ours=rss,
            peer_name="",
            peer=None,
            ratio=None,
            target="<= 40 MB",
            met=rss <= 40,
            note=f"{statistics.median(private):.1f} MB of it are private.",
        ),
    ]
