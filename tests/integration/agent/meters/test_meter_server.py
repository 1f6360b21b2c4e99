"""The server's side: whatever a client does, the meter is read and the others are served."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from threading import Event

import pytest

from edgemeter_agent.meters import Description, MeterError, Reading, meter_server
from edgemeter_agent.meters.meter_server import MAX_CLIENTS, MeterServer


class Quick:
    """As many readings as are taken, and word of how many there were."""

    def __init__(self, pause_s: float = 0.0005) -> None:
        self.pause_s = pause_s
        self.made = 0
        self.broken = Event()
        self.description = Description(
            name="quick", kind="quick", coverage="wall", rails=(), rate_hz=2000.0, resolution_mw=1.0,
            gain_error=0.0, offset_error_mw=0.0, lag_s=0.0, has_counter=False, detail="",
        )  # fmt: skip

    def readings(self, stop: Event) -> Iterator[Reading]:
        while not stop.wait(self.pause_s):
            if self.broken.is_set():
                raise ZeroDivisionError("a mistake of ours")
            self.made += 1
            yield Reading(monotonic_ns=time.monotonic_ns(), total_mw=float(self.made))

    def close(self) -> None:
        """Nothing is held."""


class Running:
    def __init__(self, token: str = "") -> None:
        self.meter = Quick()
        self.listener = socket.create_server(("127.0.0.1", 0))
        # What the kernel holds for a client is small too; connections inherit it.
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.stop = Event()
        self.failure: MeterError | None = None
        self.server = MeterServer(self.meter, self.listener, token)
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        try:
            self.server.serve(self.stop)
        except MeterError as error:
            self.failure = error

    def connect(self, *lines: str) -> socket.socket:
        client = socket.create_connection(self.listener.getsockname(), 5)
        client.sendall("".join(f"{line}\n" for line in lines).encode())
        return client

    def is_well(self) -> bool:
        """A new client is served."""
        with self.connect("hello 1 -", "time 5") as client, client.makefile("r") as lines:
            assert lines.readline().startswith("hello {")
            return lines.readline().startswith("time 5 ")


@pytest.fixture
def running() -> Iterator[Running]:
    server = Running()
    yield server
    server.stop.set()
    server.thread.join()
    server.listener.close()


def everything(client: socket.socket) -> str:
    """What comes until the other side closes."""
    said = b""
    with client, contextlib.suppress(ConnectionResetError):
        while chunk := client.recv(65536):
            said += chunk
    return said.decode()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["GET / HTTP/1.1"], "refused meter_rubbish the first line must be"),
        (["hello 2 -"], "refused meter_rubbish this server speaks version 1; update the older agent"),
        (["time 5"], "refused meter_rubbish the first line"),
        (["start"], "refused meter_rubbish the first line"),
        (["hello 1 -", "dance"], "refused meter_rubbish that is no line"),
        (["hello 1 -", "time x"], "refused meter_rubbish that is no line"),
        (["hello 1 -", "time -5"], "refused meter_rubbish that is no line"),
        (["hello 1 " + "a" * 600], "refused meter_rubbish a line is too long"),
        (["hello 1 -", "start now"], "refused meter_rubbish that is no line"),
    ],
)
def test_what_is_no_client_is_refused_and_hung_up_on(running: Running, lines: list[str], says: str) -> None:
    assert says in everything(running.connect(*lines))
    assert running.is_well()


def test_a_line_without_an_end_is_not_kept(running: Running) -> None:
    client = running.connect()
    with contextlib.suppress(OSError):
        for _ in range(100):
            client.sendall(b"a" * 10_000)
    # What it had still to say may be lost to the reset.
    assert everything(client) in ("", "refused meter_rubbish a line is too long\n")
    assert running.is_well()


def test_a_client_that_does_not_read_is_dropped_and_nobody_else(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter_server, "MAX_BACKLOG_BYTES", 4096)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(running.listener.getsockname())
    slow.sendall(b"hello 1 -\nstart\n")
    quick = running.connect("hello 1 -", "start")
    numbers: list[float] = []
    with quick, quick.makefile("r") as lines:
        lines.readline()
        due_s = time.monotonic() + 60
        # The slow one's buffers, of the kernel on both sides, hold much.
        while len(running.server._clients) > 1 and time.monotonic() < due_s:
            numbers.append(float(lines.readline().split()[2]))
        numbers += [float(lines.readline().split()[2]) for _ in range(100)]
    assert time.monotonic() < due_s
    # Not one reading was lost to the client that reads.
    assert numbers == [numbers[0] + n for n in range(len(numbers))]
    slow.close()


def test_one_that_says_nothing_is_hung_up_on(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meter_server, "HELLO_TIMEOUT_S", 0.2)
    assert everything(running.connect()) == ""
    assert running.is_well()


def test_too_many(running: Running) -> None:
    crowd = [running.connect("hello 1 -") for _ in range(MAX_CLIENTS)]
    for client in crowd:
        assert client.recv(6) == b"hello "
    assert "refused meter_unreachable" in everything(running.connect("hello 1 -"))
    crowd.pop().close()
    while len(running.server._clients) >= MAX_CLIENTS:
        time.sleep(0.01)
    assert running.is_well()
    for client in crowd:
        client.close()


def test_readings_come_between_start_and_stop_only(running: Running) -> None:
    with running.connect("hello 1 -") as client, client.makefile("r") as lines:
        lines.readline()
        client.sendall(b"start\n")
        assert lines.readline().startswith("r ")
        client.sendall(b"stop\ntime 7\n")
        while not (line := lines.readline()).startswith("time 7 "):
            assert line.startswith("r ")
        client.sendall(b"time 8\n")
        assert lines.readline().startswith("time 8 ")
    made = running.meter.made
    while running.meter.made == made:
        # It is read on all the same.
        time.sleep(0.001)


def test_the_clients_hear_of_the_meters_end(running: Running) -> None:
    client = running.connect("hello 1 -", "start")
    client.recv(10)
    running.meter.broken.set()
    assert everything(client).endswith("gone meter_gone ZeroDivisionError: a mistake of ours\n")
    running.thread.join()
    assert running.failure is not None
    assert running.failure.code == "meter_gone"


def until(condition: Callable[[], bool]) -> None:
    due_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < due_s
        time.sleep(0.01)


def test_a_client_that_vanishes_is_forgotten(running: Running) -> None:
    client = running.connect("hello 1 -", "start")
    client.recv(10)
    until(lambda: len(running.server._clients) == 1)
    client.close()
    until(lambda: not running.server._clients)
