"""The commands against a coordinator that runs: what they print, and how they fail."""

from __future__ import annotations

import json
import re
import shlex
import stat
from pathlib import Path

import pytest
import tomllib

from tests.desk import Desk


def config(desk: Desk) -> Path:
    return desk.folder / "config" / "edgemeter" / "config.toml"


LISTS = ["device ls", "meter ls", "model ls", "data ls", "recipe ls", "study ls", "token ls"]


@pytest.mark.parametrize("command", LISTS)
def test_json_is_pure(serving: Desk, command: str) -> None:
    done = serving.run(f"edgemeter {command} --json")
    assert done.returncode == 0
    assert isinstance(json.loads(done.stdout), list)
    assert done.stderr == ""


@pytest.mark.parametrize("command", LISTS)
def test_people_get_a_table_or_a_line(serving: Desk, command: str) -> None:
    done = serving.run(f"edgemeter {command}")
    assert done.returncode == 0
    assert done.stdout.strip() or done.stderr.strip()
    assert "\x1b" not in done.stdout + done.stderr


def test_the_recipes_are_the_converters_own(serving: Desk) -> None:
    assert {recipe["text"] for recipe in serving.json("edgemeter recipe ls")} >= {
        "float32",
        "prune(0.5)",
    }


def test_serve_logs_its_user_in(serving: Desk) -> None:
    path = config(serving)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert tomllib.loads(path.read_text())["address"] == f"127.0.0.1:{serving.port}"


def test_the_line_for_a_board(serving: Desk) -> None:
    done = serving.run("edgemeter token new --label rack=a --uses 3 --expires 2h")
    assert re.fullmatch(
        rf"edgemeter-agent join 127\.0\.0\.1:{serving.port} \S+ --ca-fingerprint sha256:[0-9a-f]{{64}}\n",
        done.stdout,
    )
    token = serving.json("edgemeter token ls")[-1]
    assert (token["labels"], token["uses_left"], token["kind"]) == ({"rack": "a"}, 3, "join")
    # The secret is shown that once.
    assert shlex.split(done.stdout)[3] not in serving.ok("edgemeter token ls --json")


def test_another_user_logs_in(serving: Desk, tmp_path: Path) -> None:
    made = serving.json("edgemeter token new --user bob")
    bob = Desk(tmp_path)
    done = bob.json(made["command"])
    assert done["user"] == "bob"
    assert done["address"] == f"127.0.0.1:{serving.port}"
    assert stat.S_IMODE(config(bob).stat().st_mode) == 0o600
    assert bob.json("edgemeter device ls") == []


def test_another_user_logs_in_with_the_file_of_the_ca(serving: Desk, tmp_path: Path) -> None:
    token = serving.json("edgemeter token new --user carol")["token"]
    ca = serving.folder / "coordinator" / "tls" / "ca.pem"
    carol = Desk(tmp_path)
    carol.ok(f"edgemeter login 127.0.0.1:{serving.port} --token {token} --ca {ca}")
    assert carol.json("edgemeter study ls") == []


ZEROS = "sha256:" + "0" * 64

# What is wrong: the command, its exit code, and what its one line must say.
MISTAKES = {
    "a wrong fingerprint": (
        f"login 127.0.0.1:{{port}} --token t --ca-fingerprint {ZEROS}",
        1,
        r"another fingerprint",
    ),
    "no fingerprint": ("login 127.0.0.1:{port} --token t --ca-fingerprint 12", 1, r"no fingerprint"),
    "neither CA nor fingerprint": ("login 127.0.0.1:{port} --token t", 2, r"--ca-fingerprint and --ca"),
    "a port without TLS": ("login 127.0.0.1:{plain} --token t --ca-fingerprint " + ZEROS, 1, r"TLS|answers"),
    "no address": ("login http://x --token t --ca-fingerprint " + ZEROS, 1, r"HOST:PORT"),
    "a wrong token": ("device ls --auth-token em-user-wrong", 1, r"token.*edgemeter login"),
    "nobody at the address": ("device ls --coordinator 127.0.0.1:1", 1, r"127\.0\.0\.1:1.*edgemeter serve"),
    "the boards' port": ("device ls --coordinator 127.0.0.1:{fleet}", 1, r"127\.0\.0\.1:{fleet}"),
    "a CA that is no file": ("device ls --ca missing.pem", 1, r"missing\.pem"),
    "an unknown study": ("study show nothing", 1, r"nothing"),
    "an unknown study to export": ("result export nothing", 1, r"nothing"),
    "an unknown study to cancel": ("study cancel nothing", 1, r"nothing"),
    "no such model file": ("model add missing.keras", 1, r"missing\.keras"),
    "a folder for a model": ("model add {folder}", 1, r"no SavedModel"),
    "a Dask address without a protocol": ("serve --dask 127.0.0.1:8786", 2, r"tcp://HOST:PORT"),
    "a key for no Dask cluster": ("serve --dask-key {folder}", 2, r"--dask-key goes with --dask"),
    "no such data file": ("data add missing.npz", 1, r"missing\.npz"),
    "no such model": ("bench missing.keras --recipe int8", 1, r"missing\.keras.*model ls"),
    "an unknown profile": ("bench m --recipe int8 --profile huge", 1, r"huge.*standard"),
    "an unknown number": ("bench m --recipe int8 --set block=8", 1, r"block.*blocks"),
    "no number": ("bench m --recipe int8 --set blocks=many", 2, r"NAME=NUMBER"),
    "a share of a block": ("bench m --recipe int8 --set blocks=1.5", 1, r"blocks.*1\.5"),
    "an unknown scenario": ("bench m --recipe int8 --scenario severe", 1, r"severe.*server"),
    "a server without a rate": ("bench m --recipe int8 --scenario server", 1, r"target_qps.*latency_bound"),
    "a bound without a server": ("bench m --recipe int8 --latency-bound 10ms", 1, r"latency_bound.*server"),
    "no duration to sustain": ("bench m --recipe int8 --sustain long", 1, r"sustain.*long.*10m"),
    "no processors": ("bench m --recipe int8 --affinity all", 2, r"--affinity.*2-3"),
    "no such plan": ("bench m --recipe int8 --plan missing.toml", 1, r"missing\.toml"),
    "a folder for a plan": ("bench m --recipe int8 --plan {folder}", 1, r"{folder}.*directory"),
    "no energy to require": (
        "bench m --recipe int8 --require-energy --set energy_windows=0",
        1,
        r"energy_windows",
    ),
    "a meter of no kind": ("meter attach pi volts:x", 1, r"volts:x.*remote:HOST:PORT"),
    "a meter of no board": ("meter attach pi shelly:10.0.0.7", 1, r"no device matches.*token new"),
    "no board to show": ("device show pi", 1, r"no device matches"),
    "an unknown study to show a result of": ("result show nothing int8", 1, r"nothing"),
    "no recipe": ("bench m", 2, r"--recipe.*edgemeter bench --help"),
    "no label": ("token new --label rack", 2, r"rack.*LABEL=VALUE"),
    "no duration": ("token new --expires soon", 2, r"soon.*1h"),
    "a user with labels": ("token new --user bob --label a=b", 2, r"--label"),
    "no such command": ("device list", 2, r"list"),
    "no such option": ("device ls --jason", 2, r"--jason"),
    "no such format": ("result export s --format xml", 2, r"xml"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_clear_line(serving: Desk, mistake: str) -> None:
    import socket

    line, code, says = MISTAKES[mistake]
    before = config(serving).read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as plain:
        plain.settimeout(0)
        names = {
            "port": serving.port,
            "fleet": serving.fleet_port,
            "plain": plain.getsockname()[1],
            "folder": serving.folder,
        }
        if mistake == "a port without TLS":
            answer_in_plain_text(plain)
        done = serving.run(f"edgemeter {line.format(**names)}", timeout_s=60)
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert re.search(says.format(**names) if "{" in says else says, lines[0])
    assert done.returncode == code
    assert done.stdout == ""
    assert config(serving).read_bytes() == before


def answer_in_plain_text(listener: object) -> None:
    """Answers one connection as an HTTP server would, and hangs up."""
    import socket
    import threading

    assert isinstance(listener, socket.socket)
    listener.settimeout(20)

    def answer() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(64)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    threading.Thread(target=answer, daemon=True).start()


def test_two_coordinators_on_one_port_or_one_state(serving: Desk, tmp_path: Path) -> None:
    before = config(serving).read_bytes()
    port = serving.refused(
        f"edgemeter serve --host 127.0.0.1 --port {serving.port} --fleet-port 0 --state-dir {tmp_path / 'b'}"
    )
    assert str(serving.port) in port
    taken = serving.folder / "coordinator"
    state = serving.refused(f"edgemeter serve --host 127.0.0.1 --port 0 --fleet-port 0 --state-dir {taken}")
    assert str(taken) in state
    assert config(serving).read_bytes() == before
    serving.ok("edgemeter device ls")


def test_sigterm_ends_it_and_the_next_start_has_the_same_user(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    try:
        first = desk.serve()
        user = desk.json("edgemeter token ls")
        first.terminate()
        assert first.wait(30) == 0
        assert "Traceback" not in desk.log("serve.log")
        # Whatever became of the configuration file, the owner is let in again.
        config(desk).unlink()
        desk.serve()
        assert desk.json("edgemeter token ls") == user
    finally:
        desk.finish()


def test_serve_announces_itself_as_one_line_of_json(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    try:
        process = desk.start(
            f"edgemeter serve --json --host 127.0.0.1 --port 0 --fleet-port 0 --state-dir {tmp_path / 'c'}",
            "serve.log",
        )
        from tests.desk import until

        line = until(
            "it announces itself", lambda: desk.log("serve.log") if process.poll() is None else "ended"
        )
        announced = json.loads(line)
        assert announced["port"] > 0
        assert announced["fleet_port"] not in (0, announced["port"])
        assert announced["address"] == f"127.0.0.1:{announced['port']}"
        assert desk.json("edgemeter device ls") == []
    finally:
        desk.finish()


def test_a_broken_configuration_file_is_named(desk: Desk) -> None:
    config(desk).parent.mkdir(parents=True)
    config(desk).write_text("address = ")
    assert "config.toml" in desk.refused("edgemeter device ls")
