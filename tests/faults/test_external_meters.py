"""External meters that fail in the middle: each ends, or makes a gap, by name, and nobody waits for ever."""

from __future__ import annotations

import contextlib
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import psutil
import pytest

from edgemeter_agent.energy.trace import trace_of
from edgemeter_agent.meters import MeterError, Reading
from edgemeter_agent.meters.remote import RemoteMeter
from edgemeter_agent.meters.spec import open_spec
from tests.integration.agent.meters.shifted import Shifted

ROOT = Path(__file__).parents[2]


@pytest.fixture
def server() -> Iterator[Shifted]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.integration.agent.meters.shifted_server", "0", "0", ""],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    yield Shifted(process, int(process.stdout.readline()))
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.communicate()


def read_until_it_ends(meter: RemoteMeter, act_after: int, act: threading.Thread) -> tuple[int, MeterError]:
    count = 0

    def read() -> None:
        nonlocal count
        for _ in meter.readings(Event()):
            count += 1
            if count == act_after:
                act.start()

    with contextlib.closing(meter), pytest.raises(MeterError) as ended:
        read()
    return count, ended.value


def test_a_server_that_is_stopped_is_gone(server: Shifted) -> None:
    """SIGSTOP: the connection stays, and nothing comes."""
    meter = server.connect(timeout_s=0.5, compare_every_s=0.1)
    stopper = threading.Thread(target=server.process.send_signal, args=(signal.SIGSTOP,))
    count, ended = read_until_it_ends(meter, 50, stopper)
    assert count >= 50
    assert (ended.code, "has not answered for 0.5 s" in ended.detail) == ("meter_gone", True)


def test_a_server_that_pauses_leaves_a_gap_and_goes_on(server: Shifted) -> None:
    meter = server.connect(timeout_s=30, compare_every_s=0.1)

    def pause() -> None:
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(0.5)
        server.process.send_signal(signal.SIGCONT)

    found: list[Reading] = []
    stop = Event()
    with contextlib.closing(meter):
        for reading in meter.readings(stop):
            found.append(reading)
            if len(found) == 50:
                threading.Thread(target=pause).start()
            if len(found) == 200:
                stop.set()
    trace = trace_of(found, 1)
    gaps_s = (trace.monotonic_ns[1:] - trace.monotonic_ns[:-1]) / 1e9
    assert gaps_s.max() > 0.4
    # The comparison that the pause lengthened was not believed.
    assert meter.alignment.rtt_ns < 100_000_000


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_is_killed_is_gone(server: Shifted, how: signal.Signals) -> None:
    killer = threading.Thread(target=server.process.send_signal, args=(how,))
    _, ended = read_until_it_ends(server.connect(), 30, killer)
    assert ended.code == "meter_gone"
    assert ended.detail.startswith(f"remote:127.0.0.1:{server.port}: ")


def test_a_connection_that_is_cut_is_gone(server: Shifted) -> None:
    meter = server.connect()
    cutter = threading.Thread(target=lambda: meter._socket.shutdown(socket.SHUT_RDWR))
    _, ended = read_until_it_ends(meter, 30, cutter)
    assert ended.code == "meter_gone"


def test_a_program_that_is_stopped_leaves_a_gap_and_can_be_ended(tmp_path: Path) -> None:
    program = tmp_path / "meter.py"
    program.write_text(
        "import os, signal, time\n"
        "for n in range(10**9):\n"
        "    print(time.monotonic_ns(), 4, flush=True)\n"
        "    time.sleep(0.01)\n"
        "    if n == 20: os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    meter = open_spec(f"exec:{shlex.join([sys.executable, str(program)])}")
    stop = Event()
    threading.Timer(1.0, stop.set).start()
    with contextlib.closing(meter):
        readings = list(meter.readings(stop))
    assert len(readings) == 21


HANGS = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for n in range(3): print(time.monotonic_ns(), 4, flush=True)
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(600)
"""

READER = """
import sys, time
from edgemeter_agent.meters.spec import open_spec
meter = open_spec(sys.argv[1])
print("open", flush=True)
time.sleep(600)
"""


def test_a_program_that_hangs_does_not_outlive_a_killed_reader(tmp_path: Path) -> None:
    """It prints no more, so no broken pipe ends it, and SIGTERM neither; its reader is killed."""
    program, pid_file = tmp_path / "hangs.py", tmp_path / "pid"
    program.write_text(HANGS)
    spec = f"exec:{shlex.join([sys.executable, str(program), str(pid_file)])}"
    with subprocess.Popen([sys.executable, "-c", READER, spec], stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        while not (pid_file.exists() and pid_file.read_text()):
            time.sleep(0.01)
        hanging = psutil.Process(int(pid_file.read_text()))
        family = [hanging, *hanging.parents()[:1]]
        reader.kill()
    assert psutil.wait_procs(family, timeout=20)[1] == []
