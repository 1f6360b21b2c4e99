"""`edgemeter-agent meter serve` as its users start it, by the parser that the command `meter` puts it
into."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import psutil
import pytest

from edgemeter_agent.meters.spec import open_spec

STEADY = "import time\nwhile True: print(time.monotonic_ns(), 4.5, flush=True); time.sleep(0.02)\n"

COMMAND = """
import argparse, sys
from edgemeter_agent.cli import meter_serve
from edgemeter_agent.failure import AgentError
parser = argparse.ArgumentParser()
meter_serve.add_parser(parser.add_subparsers())
try:
    sys.exit(meter_serve.run(parser.parse_args(sys.argv[1:])))
except AgentError as error:
    sys.exit(f"edgemeter-agent: {error}")
"""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    program = tmp_path / "meter.py"
    program.write_text(STEADY)
    started: list[subprocess.Popen[str]] = []

    def start(
        *options: str, spec: str = "", environment: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        spec = spec or f"exec:{shlex.join([sys.executable, str(program)])}?coverage=wall"
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", COMMAND, "serve", spec, *options],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, **(environment or {})},
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def port_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert "(wall, " in line
    assert "readings a second) at 127.0.0.1:" in line
    return line.strip().rpartition(":")[2]


@pytest.mark.parametrize("from_environment", [False, True])
def test_it_serves_until_it_is_asked_to_end(
    serve: Callable[..., subprocess.Popen[str]], from_environment: bool
) -> None:
    environment = {"EDGEMETER_METER_TOKEN": "t0ken"} if from_environment else {}
    options = [] if from_environment else ["--token", "t0ken"]
    process = serve("--listen", "127.0.0.1:0", *options, environment=environment)
    port = port_of(process)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) == 2
    with contextlib.closing(open_spec(f"remote:127.0.0.1:{port}?token=t0ken")) as meter:
        assert meter.description.coverage == "wall"
        stop = Event()
        found = []
        for reading in meter.readings(stop):
            found.append(reading.total_mw)
            if len(found) == 5:
                stop.set()
    assert found == [4500.0] * 5
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    # The program behind it is gone with it.
    assert psutil.wait_procs(family, timeout=5)[1] == []


@pytest.mark.parametrize(
    ("options", "spec", "says"),
    [
        (["--listen", "127.0.0.1"], "", "--listen: '127.0.0.1' is no HOST:PORT"),
        (["--listen", "192.0.2.1:80"], "", "--listen 192.0.2.1:80: "),
        (["--token", "two words"], "", "--token has 1 to 128 letters"),
        (["--token", ""], "", "--token has 1 to 128 letters"),
        (["--listen", "127.0.0.1:0"], "ina226:1:0x40", "say what the shunt has"),
        (["--listen", "127.0.0.1:0"], "exec:no-such-program", "there is no program no-such-program"),
        (["--listen", "127.0.0.1:0"], "no-such-meter", "no meter no-such-meter on this board"),
    ],
)
def test_what_cannot_be_served_is_said_in_a_line(
    serve: Callable[..., subprocess.Popen[str]], options: list[str], spec: str, says: str
) -> None:
    process = serve(*options, spec=spec)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert len(errors.splitlines()) == 1
    assert errors.startswith("edgemeter-agent: ")
    assert says in errors


def test_an_open_address_without_a_token_is_warned_of(serve: Callable[..., subprocess.Popen[str]]) -> None:
    process = serve("--listen", "0.0.0.0:0")
    assert process.stdout is not None
    assert process.stderr is not None
    assert " at 0.0.0.0:" in process.stdout.readline()
    assert "--token asks for a token" in process.stderr.readline()


def test_a_meter_that_ends_ends_it(serve: Callable[..., subprocess.Popen[str]], tmp_path: Path) -> None:
    program = tmp_path / "short.py"
    program.write_text(
        "import time\nfor n in range(9): print(time.monotonic_ns(), 1, flush=True); time.sleep(0.02)"
    )
    process = serve("--listen", "127.0.0.1:0", spec=f"exec:{shlex.join([sys.executable, str(program)])}")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.startswith("edgemeter-agent: exec:")
    assert errors.strip().endswith("ended with exit code 0")
