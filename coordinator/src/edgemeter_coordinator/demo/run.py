"""The way of the demo: data, model, coordinator, agent, study, results. What is there already is reused."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import platformdirs

from edgemeter_coordinator.demo import digits, training
from edgemeter_coordinator.demo.processes import Processes, Started, last_line
from edgemeter_coordinator.report import export
from edgemeter_coordinator.sdk import atomic_file, settings
from edgemeter_coordinator.sdk.errors import EdgemeterError, WaitTimeout
from edgemeter_coordinator.sdk.lab import Lab
from edgemeter_coordinator.sdk.study import Study
from edgemeter_protos.v1 import lab_pb2

Seen = TypeVar("Seen")

RECIPES = ("float32", "float16", "dynamic", "int8", "int16x8")
DEVICE_NAME = "demo"

_HOST = "127.0.0.1"
_START_TIMEOUT_S = 90.0
_STUDY_TIMEOUT_S = 1800.0
_CHECK_EVERY_S = 5.0
_POLL_S = 0.1


class Screen(Protocol):
    """Where the demo's progress is shown."""

    def say(self, line: str) -> None: ...

    def step(self, label: str, fraction: float | None, detail: str = "") -> None:
        """Shows one bar; `fraction` is from 0 to 1, None where only that it goes on is known."""

    def study(self, study: lab_pb2.Study) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What lies where in the demo's folder."""

    root: Path

    def __getitem__(self, name: str) -> Path:
        return self.root / name

    @property
    def data(self) -> Path:
        return self["digits.npz"]

    @property
    def model(self) -> Path:
        return self["digits.keras"]

    @property
    def config(self) -> Path:
        return self["config.toml"]

    @property
    def joined(self) -> Path:
        """Notes which coordinator, at which ports, the agent's state belongs to."""
        return self["joined.json"]

    @property
    def results(self) -> Path:
        return self["results.json"]


@dataclass(frozen=True, kw_only=True)
class Joined:
    """The agent's membership, as noted by an earlier run."""

    port: int
    fleet_port: int
    device_id: str

    @classmethod
    def read(cls, path: Path) -> Joined | None:
        """None where there is no note, or none that can be used."""
        try:
            note = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                port=int(note["port"]), fleet_port=int(note["fleet_port"]), device_id=str(note["device_id"])
            )
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def write(self, path: Path) -> None:
        atomic_file.write_text(path, json.dumps(vars(self), indent=2) + "\n")


def run(folder: Path, *, profile: str, screen: Screen) -> tuple[list[lab_pb2.ListResultsResponse], Path]:
    """Runs the demo in `folder` and returns its results, and the file that they were exported to.

    What it starts has ended when it returns, however it does. Raises EdgemeterError.
    """
    layout = Layout(root=folder.resolve())
    try:
        layout.root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgemeterError(f"cannot make the folder {layout.root}: {error.strerror}") from error
    prepare_data(layout, screen)
    prepare_model(layout, screen)
    with Processes() as processes:
        lab, ports = _start_coordinator(layout, processes, screen)
        with lab:
            device = _start_agent(layout, processes, lab, ports, screen)
            study = _bench(layout, lab, device, profile, screen, check=processes.check)
            responses = study.responses()
    atomic_file.write_text(layout.results, export.as_json(export.exported(responses)))
    if study.state != "completed":
        raise EdgemeterError(
            f"the demo's study {study.state}: {_first_failure(study.last)} (logs in {layout.root})"
        )
    return responses, layout.results


def prepare_data(layout: Layout, screen: Screen) -> None:
    """digits.npz. Raises EdgemeterError."""
    screen.step("download digits", None, digits.PACKAGE)
    cached, reused = digits.fetch(platformdirs.user_cache_path("edgemeter") / "demo")
    screen.step("download digits", 1.0, "reused" if reused else "downloaded")
    screen.say(f"digits: {'reused' if reused else 'downloaded'} {cached}")
    try:
        known = digits.write(cached, layout.data)
    except OSError as error:
        raise EdgemeterError(f"cannot write {layout.data}: {error.strerror}") from error
    screen.say(
        f"data: {'reused' if known else 'wrote'} {layout.data}"
        f" ({digits.TRAINING_SAMPLES:,} digits to train, {digits.EVALUATION_SAMPLES:,} to evaluate)"
    )


def prepare_model(layout: Layout, screen: Screen) -> None:
    """digits.keras. Raises EdgemeterError."""
    note = training.known(layout.data, layout.model)
    reused = note is not None
    if note is None:
        screen.step("train", None, "starting Keras")

        def progress(epoch: int, epochs: int, accuracy: float) -> None:
            screen.step("train", epoch / epochs, f"epoch {epoch} of {epochs}: top-1 {accuracy:.1%}")

        note = training.train(layout.data, layout.model, log=layout["train.log"], progress=progress)
    screen.say(
        f"model: {'reused' if reused else 'trained'} {layout.model}"
        f" ({note['parameters']:,} parameters, top-1 {note['accuracy']:.1%})"
    )


def _start_coordinator(layout: Layout, processes: Processes, screen: Screen) -> tuple[Lab, tuple[int, int]]:
    before = Joined.read(layout.joined)
    ports = (before.port, before.fleet_port) if before else (0, 0)
    if not all(_is_free(port) for port in ports):
        ports = (0, 0)
    screen.step("start coordinator", None)
    command = [sys.executable, "-m", "edgemeter_coordinator.cli", "serve", "--json", "--host", _HOST]
    command += ["--advertise", _HOST, "--port", str(ports[0]), "--fleet-port", str(ports[1])]
    command += ["--state-dir", str(layout["coordinator"])]
    environment = {**os.environ, "EDGEMETER_CONFIG": str(layout.config)}
    # Of a coordinator whose folder was removed since: `serve` would leave that login alone.
    layout.config.unlink(missing_ok=True)
    serve = processes.start("coordinator", command, log=layout["coordinator.log"], environment=environment)
    listening: Mapping[str, Any] = _until(
        lambda: _announcement(serve), processes, f"the coordinator did not listen: {last_line(serve.log)}"
    )
    # Everything of the file, nothing of the user's own environment.
    lab = Lab(settings.resolve(environ={"EDGEMETER_CONFIG": str(layout.config)}))
    screen.step("start coordinator", 1.0, lab.address)
    screen.say(f"coordinator: {lab.address}, boards at port {listening['fleet_port']} (mutual TLS)")
    return lab, (int(listening["port"]), int(listening["fleet_port"]))


def _announcement(serve: Started) -> Mapping[str, Any] | None:
    """The line of JSON that `edgemeter serve --json` prints when it listens."""
    for line in serve.log.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("{") and line.endswith("}"):
            announcement: Mapping[str, Any] = json.loads(line)
            return announcement
    return None


def _start_agent(
    layout: Layout, processes: Processes, lab: Lab, ports: tuple[int, int], screen: Screen
) -> lab_pb2.Device:
    agent, state_dir = _agent_command(), layout["agent"]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("EDGEMETER")}
    before = Joined.read(layout.joined)
    member = (
        before is not None
        and (before.port, before.fleet_port) == ports
        and state_dir.is_dir()
        and any(device.id == before.device_id for device in lab.devices())
    )
    if before is None or not member:
        screen.step("join", None)
        before = _join(layout, processes, lab, ports, agent, environment)
        screen.step("join", 1.0)
    name = next(device.name for device in lab.devices() if device.id == before.device_id)
    screen.say(f"agent: {'reused the membership of' if member else 'joined as'} device {name}")
    screen.step("attach", None)
    command = [agent, "run", "--state-dir", str(state_dir)]
    processes.start("agent", command, log=layout["agent.log"], environment=environment)
    device_id = before.device_id

    def attached() -> lab_pb2.Device | None:
        return next((device for device in lab.devices() if device.id == device_id and device.attached), None)

    device = _until(attached, processes, f"the agent did not attach (see {layout['agent.log']})")
    screen.step("attach", 1.0, device.facts.board)
    return device


def _join(
    layout: Layout,
    processes: Processes,
    lab: Lab,
    ports: tuple[int, int],
    agent: str,
    environment: Mapping[str, str],
) -> Joined:
    shutil.rmtree(layout["agent"], ignore_errors=True)
    known = {device.id for device in lab.devices()}
    token = lab.new_join_token({"demo": "yes"}, ttl_s=600)
    command = [agent, "join", lab.address, token.token, "--ca-fingerprint", token.ca_fingerprint]
    command += ["--name", DEVICE_NAME, "--state-dir", str(layout["agent"])]
    with Processes() as joining:
        started = joining.start("join", command, log=layout["join.log"], environment=environment)
        _until(lambda: started.process.poll() is not None, processes, "joining took too long")
        if started.process.returncode != 0:
            raise EdgemeterError(f"the agent could not join: {last_line(started.log)}")
    (device_id,) = (device.id for device in lab.devices() if device.id not in known)
    joined = Joined(port=ports[0], fleet_port=ports[1], device_id=device_id)
    joined.write(layout.joined)
    return joined


def _bench(
    layout: Layout,
    lab: Lab,
    device: lab_pb2.Device,
    profile: str,
    screen: Screen,
    *,
    check: Callable[[], None],
) -> Study:
    def uploading(path: Path, done_bytes: int, total_bytes: int) -> None:
        screen.step(f"upload {path.name}", done_bytes / max(1, total_bytes))

    for left_over in lab.studies():
        # Of a demo that was cut short: it would be measured first.
        if not left_over.ended:
            left_over.cancel()
    study = lab.bench(
        layout.model,
        layout.data,
        recipes=RECIPES,
        devices=[device.id],
        profile=profile,
        progress=uploading,
    )

    deadline_s = time.monotonic() + _STUDY_TIMEOUT_S
    while not study.ended:
        # In slices: a process that ends by itself changes nothing that the study would tell.
        try:
            study.wait(_CHECK_EVERY_S, progress=screen.study)
        except WaitTimeout:
            check()
            if time.monotonic() > deadline_s:
                raise
    reused = [variant.recipe for variant in study.last.variants if variant.reused]
    converted = len(study.last.variants) - len(reused)
    screen.say(f"variants: {len(reused)} reused, {converted or 'nothing'} converted; all measured anew")
    return study


def _first_failure(study: lab_pb2.Study) -> str:
    errors = [f"{variant.recipe}: {variant.error}" for variant in study.variants if variant.error]
    errors += [f"{job.device_name}: {job.detail}" for job in study.jobs if job.detail]
    return errors[0] if errors else "no reason given"


def _agent_command() -> str:
    """The agent's command, beside this interpreter or on the PATH: started, never imported."""
    beside = Path(sys.executable).with_name("edgemeter-agent")
    found = str(beside) if beside.is_file() else shutil.which("edgemeter-agent")
    if found is None:
        raise EdgemeterError(
            "there is no command edgemeter-agent here: install the package edgemeter-agent[litert]"
        )
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
    return True


def _until(condition: Callable[[], Seen | None], processes: Processes, otherwise: str) -> Seen:
    """The first true value of `condition`. Raises EdgemeterError after a while, or where a process ended."""
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline_s:
        seen = condition()
        if seen:
            return seen
        processes.check()
        time.sleep(_POLL_S)
    raise EdgemeterError(otherwise)
