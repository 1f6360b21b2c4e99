"""A line to an instrument that speaks SCPI: a plain TCP socket, or VISA for USB, GPIB, serial and VXI-11."""

from __future__ import annotations

import contextlib
import socket
import warnings
from typing import Any, Protocol

from edgemeter_agent.meters import MeterError
from edgemeter_agent.meters.line_reader import LineReader

MAX_ANSWER_BYTES = 4096


class LinkFault(Exception):
    """No answer this time: a code for the trace, and a line."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Link(Protocol):
    """Raises LinkFault."""

    def write(self, command: str) -> None: ...

    def query(self, command: str) -> str: ...

    def close(self) -> None: ...


class SocketLink:
    """SCPI over TCP needs nothing but a socket. It connects when it is first used, and anew after a fault:
    the answer to a question that was given up must not be taken for the next one's."""

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self._address = (host, port)
        self._timeout_s = timeout_s
        self._socket: socket.socket | None = None
        self._lines: LineReader | None = None

    def write(self, command: str) -> None:
        self._send(command)

    def query(self, command: str) -> str:
        lines = self._send(command)
        try:
            line = lines.line(self._timeout_s)
        except EOFError as error:
            self.close()
            raise LinkFault("closed", str(error).lower() or "it closed the connection") from None
        except ValueError as error:
            self.close()
            raise LinkFault("rubbish", str(error)) from None
        if line is None:
            self.close()
            raise LinkFault("timeout", f"no answer to {command} within {self._timeout_s:g} s")
        return line.decode("ascii", errors="replace").strip()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, command: str) -> LineReader:
        try:
            if self._socket is None or self._lines is None:
                self._socket = socket.create_connection(self._address, self._timeout_s)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._lines = LineReader(self._socket.fileno(), MAX_ANSWER_BYTES)
            self._socket.sendall(command.encode() + b"\n")
        except TimeoutError:
            self.close()
            raise LinkFault("timeout", f"no connection within {self._timeout_s:g} s") from None
        except OSError as error:
            self.close()
            raise LinkFault("unreachable", (error.strerror or str(error)).lower()) from None
        return self._lines


class VisaLink:
    """Any VISA resource, through PyVISA and PyVISA-py, which are not installed with the agent."""

    def __init__(self, resource: str, timeout_s: float) -> None:
        """Raises MeterError where PyVISA is missing or the resource can't be opened."""
        try:
            import pyvisa
        except ImportError:
            raise MeterError(
                "meter_unreachable",
                f"{resource} needs PyVISA: pip install 'edgemeter-agent[scpi]'; HOST:PORT needs nothing",
            ) from None
        self._timeout_s = timeout_s
        # PyVISA-py warns of buses that it has no library for, whichever is asked for.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self._manager: Any = pyvisa.ResourceManager("@py")
            except Exception as error:
                raise MeterError("meter_unreachable", f"{resource}: {_first_line(error)}") from None
            try:
                self._resource: Any = self._manager.open_resource(
                    resource, read_termination="\n", write_termination="\n"
                )
            except Exception as error:
                # PyVISA-py lets its backends' errors through: VisaIOError, OSError, ValueError, usb.core's.
                self._manager.close()
                raise MeterError("meter_unreachable", f"{resource}: {_first_line(error)}") from None
        self._resource.timeout = 1000 * timeout_s

    def write(self, command: str) -> None:
        self._call(self._resource.write, command)

    def query(self, command: str) -> str:
        return str(self._call(self._resource.query, command)).strip()

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._resource.close()
        with contextlib.suppress(Exception):
            self._manager.close()

    def _call(self, method: Any, command: str) -> Any:
        try:
            return method(command)
        except Exception as error:
            # After a time-out the answer may still come: cleared, it can't be taken for the next one's.
            with contextlib.suppress(Exception):
                self._resource.clear()
            timed_out = "TMO" in str(error).upper() or "timeout" in str(error).lower()
            raise LinkFault("timeout" if timed_out else "unreachable", _first_line(error)) from None


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip()[:200] if lines else type(error).__name__
