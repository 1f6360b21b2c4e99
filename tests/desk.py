"""A desk: one folder, the two commands as a user types them, and the processes that they became."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

BIN = Path(sys.executable).parent
PATIENCE_S = 120


def until(what: str, condition: Callable[[], Any], timeout_s: float = PATIENCE_S) -> Any:
    """Waits for a true value of `condition` and returns it; fails naming `what`."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    pytest.fail(f"waited {timeout_s:.0f} s in vain: {what}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@dataclass
class Desk:
    """Commands run in `folder` with a state and a configuration of their own."""

    folder: Path
    port: int = field(default_factory=free_port)
    fleet_port: int = field(default_factory=free_port)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        ours = {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.folder),
            "XDG_CONFIG_HOME": str(self.folder / "config"),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "XDG_CACHE_HOME": str(self.folder / "cache"),
            "XDG_DATA_HOME": str(self.folder / "data"),
            "COLUMNS": "200",
            # For functions of packages that a test writes there.
            "PYTHONPATH": str(self.folder),
        }
        return {key: value for key, value in os.environ.items() if not key.startswith("EDGEMETER")} | ours

    def run(self, line: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """A command line, to its end."""
        return subprocess.run(
            shlex.split(line),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )

    def ok(self, line: str, timeout_s: float = 300) -> str:
        """What a command that succeeds prints."""
        done = self.run(line, timeout_s)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def json(self, line: str, timeout_s: float = 300) -> Any:
        """What a command with --json prints, read."""
        return json.loads(self.ok(f"{line} --json", timeout_s))

    def refused(self, line: str) -> str:
        """The one line that a command fails with."""
        done = self.run(line)
        assert done.returncode not in (0, None), f"{line}\n{done.stdout}"
        assert "Traceback" not in done.stderr + done.stdout, done.stderr
        lines = [text for text in done.stderr.splitlines() if text.strip()]
        assert len(lines) == 1, f"{line}\nnot one line:\n{done.stderr}"
        return lines[0]

    def start(self, line: str, log: str) -> subprocess.Popen[bytes]:
        """A command line in the background; its output goes to the file `log`."""
        with (self.folder / log).open("ab") as output:
            process = subprocess.Popen(
                shlex.split(line),
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def log(self, name: str) -> str:
        return (self.folder / name).read_text(errors="replace")

    def serve(self, options: str = "") -> subprocess.Popen[bytes]:
        """A coordinator that answers."""
        process = self.start(
            f"edgemeter serve --host 127.0.0.1 --port {self.port} --fleet-port {self.fleet_port}"
            f" --advertise 127.0.0.1 --state-dir {self.folder / 'coordinator'} {options}",
            "serve.log",
        )

        def answers() -> bool:
            assert process.poll() is None, self.log("serve.log")
            return self.run("edgemeter device ls --json").returncode == 0

        until("the coordinator answers", answers)
        return process

    def join(self, name: str = "desk", label: str = "rack=a") -> None:
        """A board of this name joins by the line that `token new` prints."""
        made = self.json(f"edgemeter token new --label {label}")
        self.ok(f"{made['command']} --name {name} --state-dir {self.board(name)}")

    def board(self, name: str = "desk") -> Path:
        return self.folder / f"agent-{name}"

    def attend(self, name: str = "desk", options: str = "") -> subprocess.Popen[bytes]:
        """The joined board's agent, attached."""
        process = self.start(
            f"edgemeter-agent run --state-dir {self.board(name)} {options}", f"agent-{name}.log"
        )

        def attached() -> bool:
            assert process.poll() is None, self.log(f"agent-{name}.log")
            devices = self.json("edgemeter device ls")
            return any(device["name"] == name and device["attached"] for device in devices)

        until("the agent is attached", attached)
        return process

    def study(self, name: str) -> dict[str, Any]:
        shown: dict[str, Any] = self.json(f"edgemeter study show {name}")
        return shown

    def measuring(self, process: subprocess.Popen[bytes]) -> list[psutil.Process]:
        """The variant processes under an agent."""
        children = psutil.Process(process.pid).children(recursive=True)
        return [child for child in children if "edgemeter_agent.engine.child" in command(child)]

    def finish(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.started:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait(10)


def command(process: psutil.Process) -> str:
    """A process's command line; empty where it has just ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
