"""A power analyser on a TCP port of this machine: it parses SCPI, keeps its settings, and measures."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

Kind = TypeVar("Kind", bound="Instrument")


class Instrument:
    """`respond` turns one command into an answer, None where it is no query."""

    def __init__(self, respond: Callable[[str], str | None]) -> None:
        self.respond = respond
        self.commands: list[str] = []
        self.mute = False
        self.late_s = 0.0
        self.hang_up = False
        self.port = 0


class Yokogawa(Instrument):
    """A WT310E's answers: with headers until they are switched off, commands in any letter case."""

    def __init__(
        self, watts: str = "12.345E+00", identity: str = "YOKOGAWA,WT310E-C1,91N000000,F1.03"
    ) -> None:
        super().__init__(self._respond)
        self.watts = watts
        self.identity = identity
        self.headers = True
        self.items: dict[int, str] = {}
        self.number = 3

    def _respond(self, command: str) -> str | None:
        name, _, argument = command.upper().partition(" ")
        if name == "*IDN?":
            return self.identity
        if name == ":COMMUNICATE:HEADER":
            self.headers = argument == "ON"
        elif name == ":NUMERIC:NORMAL:NUMBER":
            self.number = int(argument)
        elif name.startswith(":NUMERIC:NORMAL:ITEM"):
            self.items[int(name.removeprefix(":NUMERIC:NORMAL:ITEM"))] = argument
        elif name == ":NUMERIC:NORMAL:VALUE?":
            values = [
                self.watts if self.items.get(n, "") == "P,1" else "NAN" for n in range(1, self.number + 1)
            ]
            return ",".join(values)
        elif name == ":RATE?":
            return ":RATE 100.0E-03" if self.headers else "100.0E-03"
        elif name == ":INPUT:VOLTAGE:RANGE?":
            return "300.0E+00"
        elif name == ":INPUT:CURRENT:RANGE?":
            return "500.0E-03"
        return None


@contextlib.contextmanager
def connected(instrument: Kind) -> Iterator[Kind]:
    """Serves until the end of the block, one connection after another."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)
    instrument.port = listener.getsockname()[1]
    stop = threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.settimeout(0.05)
        begun = b""
        while not stop.is_set() and not instrument.hang_up:
            try:
                chunk = connection.recv(4096)
            except TimeoutError:
                continue
            if not chunk:
                return
            *lines, begun = (begun + chunk).split(b"\n")
            for line in lines:
                command = line.decode().strip()
                instrument.commands.append(command)
                answer = instrument.respond(command)
                if answer is not None and not instrument.mute:
                    time.sleep(instrument.late_s)
                    connection.sendall(answer.encode() + b"\r\n")

    def serve() -> None:
        while not stop.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection, contextlib.suppress(OSError):
                talk(connection)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield instrument
    finally:
        stop.set()
        thread.join()
        listener.close()
