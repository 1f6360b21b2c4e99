"""Serves one meter to several readers, by the lines of `remote_lines`.

The meter is read by a thread of its own, all the time, and nothing that a client does can slow it: each
client has a bounded backlog, and one that does not keep up is dropped.
"""

from __future__ import annotations

import contextlib
import hmac
import logging
import os
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from threading import Event

from edgemeter_agent.meters import Meter, MeterError
from edgemeter_agent.meters.remote_lines import (
    MAX_CLIENT_LINE_BYTES,
    VERSION,
    encode_end,
    encode_hello,
    encode_reading,
)

MAX_CLIENTS = 16
MAX_BACKLOG_BYTES = 1 << 18
HELLO_TIMEOUT_S = 5.0
"""So long a connection may say nothing."""
LAST_WORDS_S = 1.0
MAX_WAITING = 100_000
_POLL_S = 0.2
_CHUNK_BYTES = 4096

log = logging.getLogger(__name__)


class _Client:
    def __init__(self, connection: socket.socket, address: str, now_s: float) -> None:
        self.connection = connection
        self.address = address
        self.since_s = now_s
        self.begun = b""
        self.backlog = b""
        self.greeted = False
        self.started = False
        self.ending = False
        """Nothing is read from it any more; it is dropped when its backlog is sent."""


class MeterServer:
    def __init__(
        self,
        meter: Meter,
        listener: socket.socket,
        token: str = "",
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`listener` listens; this neither opens nor closes it or the meter. `clock_ns` is what the meter's
        stamps are of. Without a token anybody may read."""
        self._meter = meter
        self._listener = listener
        self._token = token.encode()
        self._clock_ns = clock_ns
        self._clients: dict[int, _Client] = {}
        self._selector = selectors.DefaultSelector()
        self._waiting: deque[str] = deque(maxlen=MAX_WAITING)
        self._stop_reading = Event()
        self._failure: MeterError | None = None
        self._reading_ended = False

    def serve(self, stop: Event) -> None:
        """Until `stop` is set. Raises MeterError where the meter gives no more; the clients are told."""
        wake_reader, self._wake_writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        reader = threading.Thread(target=self._read_meter, name="meter-reader", daemon=True)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(wake_reader, selectors.EVENT_READ, lambda: self._hand_out(wake_reader))
        reader.start()
        try:
            while not stop.is_set() and not self._reading_ended:
                for key, _ in self._selector.select(_POLL_S):
                    key.data()
                self._drop_the_silent()
            if not stop.is_set():
                failure = self._failure or MeterError("meter_gone", "the meter has no more readings")
                self._say_last_words(encode_end("gone", failure.code, failure.detail))
                raise failure
        finally:
            self._stop_reading.set()
            reader.join(LAST_WORDS_S)
            for client in list(self._clients.values()):
                self._drop(client)
            self._selector.close()
            os.close(wake_reader)
            if not reader.is_alive():
                os.close(self._wake_writer)

    def _read_meter(self) -> None:
        try:
            for reading in self._meter.readings(self._stop_reading):
                self._waiting.append(encode_reading(reading))
                self._wake()
        except MeterError as error:
            self._failure = error
        except Exception as error:
            # A fault of ours must not leave clients waiting for ever.
            log.exception("the meter's reader failed")
            self._failure = MeterError("meter_gone", f"{type(error).__name__}: {error}")
        finally:
            self._reading_ended = True
            self._wake()

    def _wake(self) -> None:
        # Full means that the other side is awake.
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_writer, b"\0")

    def _hand_out(self, wake_reader: int) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(wake_reader, _CHUNK_BYTES)
        lines = []
        while self._waiting:
            lines.append(self._waiting.popleft())
        if not lines:
            return
        text = "\n".join((*lines, "")).encode()
        for client in [client for client in self._clients.values() if client.started]:
            self._send(client, text)

    def _accept(self) -> None:
        try:
            connection, address = self._listener.accept()
        except OSError:
            return  # gone before it was taken
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Finds out that the other host has vanished.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        client = _Client(connection, str(address[0]), time.monotonic())
        self._clients[connection.fileno()] = client
        self._selector.register(connection, selectors.EVENT_READ, lambda: self._exchange(client))
        if len(self._clients) > MAX_CLIENTS:
            self._refuse(client, "meter_unreachable", f"{MAX_CLIENTS} others read this meter already")

    def _exchange(self, client: _Client) -> None:
        """The client can be read, or written to."""
        if client.backlog:
            self._send(client, b"")
        if client.connection.fileno() < 0 or client.ending:
            return
        try:
            chunk = client.connection.recv(_CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        received_ns = self._clock_ns()
        if not chunk:
            self._drop(client)
            return
        *lines, client.begun = (client.begun + chunk).split(b"\n")
        if any(len(line) > MAX_CLIENT_LINE_BYTES for line in (*lines, client.begun)):
            self._refuse(client, "meter_rubbish", "a line is too long")
            return
        for line in lines:
            self._answer(client, line, received_ns)
            if client.ending or client.connection.fileno() < 0:
                return

    def _answer(self, client: _Client, line: bytes, received_ns: int) -> None:
        words = line.split(b" ")
        if not client.greeted:
            self._greet(client, words)
        elif words[0] == b"time" and len(words) == 2 and words[1].isdigit():
            answer = b"time %s %d " % (words[1], received_ns)
            self._send(client, answer + b"%d\n" % self._clock_ns())
        elif words == [b"start"]:
            client.started = True
        elif words == [b"stop"]:
            client.started = False
        else:
            self._refuse(client, "meter_rubbish", "that is no line of this protocol")

    def _greet(self, client: _Client, words: list[bytes]) -> None:
        if len(words) != 3 or words[0] != b"hello":
            self._refuse(client, "meter_rubbish", "the first line must be: hello VERSION TOKEN")
        elif words[1] != str(VERSION).encode():
            self._refuse(
                client, "meter_rubbish", f"this server speaks version {VERSION}; update the older agent"
            )
        elif self._token and not hmac.compare_digest(words[2], self._token):
            log.warning("%s came with a wrong token", client.address)
            self._refuse(client, "meter_forbidden", "wrong token")
        else:
            client.greeted = True
            own_alignment_ns = float(getattr(self._meter, "alignment_ns", 0.0))
            hello = encode_hello(self._meter.description, own_alignment_ns)
            self._send(client, f"{hello}\n".encode())

    def _refuse(self, client: _Client, code: str, detail: str) -> None:
        client.ending = True
        self._send(client, f"{encode_end('refused', code, detail)}\n".encode())

    def _send(self, client: _Client, text: bytes) -> None:
        """Sends what goes, and keeps the rest; one with too much of a rest is dropped."""
        text = client.backlog + text
        try:
            sent = client.connection.send(text) if text else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(client)
            return
        client.backlog = text[sent:]
        if len(client.backlog) > MAX_BACKLOG_BYTES:
            log.warning("%s does not keep up and is dropped", client.address)
            self._drop(client)
            return
        if client.ending and not client.backlog:
            self._drop(client)
            return
        events = 0 if client.ending else selectors.EVENT_READ
        events |= selectors.EVENT_WRITE if client.backlog else 0
        self._selector.modify(client.connection, events, lambda: self._exchange(client))

    def _drop(self, client: _Client) -> None:
        descriptor = client.connection.fileno()
        if descriptor < 0:
            return
        self._selector.unregister(client.connection)
        del self._clients[descriptor]
        # Readings that came in after the last words would turn an orderly end into a reset.
        with contextlib.suppress(OSError):
            client.connection.shutdown(socket.SHUT_WR)
        client.connection.close()

    def _drop_the_silent(self) -> None:
        now_s = time.monotonic()
        for client in list(self._clients.values()):
            if (client.ending or not client.greeted) and now_s - client.since_s > HELLO_TIMEOUT_S:
                self._drop(client)

    def _say_last_words(self, line: str) -> None:
        for client in list(self._clients.values()):
            client.ending = True
            self._send(client, f"{line}\n".encode())
        due_s = time.monotonic() + LAST_WORDS_S
        while self._clients and time.monotonic() < due_s:
            for key, _ in self._selector.select(_POLL_S):
                key.data()
