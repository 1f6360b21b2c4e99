"""Each mistake of a user gets one clear line, a non-zero exit, and leaves nothing half-done."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.desk import Desk, free_port

pytestmark = [pytest.mark.slow, pytest.mark.needs_tensorflow]

# What is wrong: the command, and what its one line must say.
REFUSALS = {
    "a file that is no model": ("model add {m}/no-model.keras", r"no-model"),
    "a Lambda layer": ("model add {m}/lambda.keras", r"(?i)lambda"),
    "no such file": ("model add {m}/missing.keras", r"missing\.keras"),
    "data in the model's place": ("model add {m}/stripes.npz --name other", r"\.npz"),
    "a model in the data's place": ("data add {m}/stripes.keras --name other", r"stripes\.keras|npz"),
    "no such study": ("study show nothing", r"nothing"),
    "no such model": ("bench nothing --data stripes --recipe int8 --device all", r"nothing"),
    "shapes that differ": (
        "bench stripes --data {m}/wide.npz --recipe int8 --device all",
        r"16, 16, 1.*12, 12, 1|12, 12, 1.*16, 16, 1",
    ),
    "an unknown recipe": ("bench stripes --data stripes --recipe int9 --device all", r"int9.*int8"),
    "no device matches": ("bench stripes --data stripes --recipe int8 --device rack=z", r"rack=a"),
    "no such profile": (
        "bench stripes --data stripes --recipe int8 --device all --profile huge",
        r"huge.*standard",
    ),
}


@pytest.mark.parametrize("mistake", REFUSALS)
def test_one_clear_line(office: Desk, material: Path, mistake: str) -> None:
    line, says = REFUSALS[mistake]
    studies = office.json("edgemeter study ls")
    models = office.json("edgemeter model ls")
    assert re.search(says, office.refused(f"edgemeter {line.format(m=material)}"))
    assert office.json("edgemeter study ls") == studies
    assert office.json("edgemeter model ls") == models


def test_a_join_token_serves_once(office: Desk) -> None:
    made = office.json("edgemeter token new --label rack=b")
    office.ok(f"{made['command']} --name once --state-dir {office.board('once')}")
    assert any(office.board("once").glob("identity*"))
    message = office.refused(f"{made['command']} --name twice --state-dir {office.board('twice')}")
    assert "used" in message
    assert not any(office.board("twice").glob("identity*"))


def test_an_expired_join_token(office: Desk) -> None:
    made = office.json("edgemeter token new --expires 1s")
    time.sleep(1.5)
    message = office.refused(f"{made['command']} --name late --state-dir {office.board('late')}")
    assert "expired" in message
    assert not office.board("late").exists() or not any(office.board("late").glob("identity*"))


def test_a_wrong_fingerprint_never_sees_the_token(office: Desk) -> None:
    made = office.json("edgemeter token new")
    wrong = re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, made["command"])
    assert "fingerprint" in office.refused(f"{wrong} --name wrong --state-dir {office.board('wrong')}")
    assert not any(office.board("wrong").glob("identity*"))
    # The token is still good: it was not sent.
    office.ok(f"{made['command']} --name right --state-dir {office.board('right')}")


def test_a_coordinator_that_is_not_there(desk: Desk) -> None:
    address = f"127.0.0.1:{free_port()}"
    fingerprint = "sha256:" + "0" * 64
    assert address in desk.refused(f"edgemeter-agent join {address} token --ca-fingerprint {fingerprint}")
    assert address in desk.refused(f"edgemeter login {address} --token t --ca-fingerprint {fingerprint}")
    assert "edgemeter serve" in desk.refused("edgemeter device ls")


def test_a_port_in_use_and_a_directory_in_use(office: Desk, tmp_path: Path) -> None:
    taken = f"edgemeter serve --host 127.0.0.1 --port {office.port} --fleet-port {free_port()}"
    assert str(office.port) in office.refused(f"{taken} --state-dir {tmp_path / 'other'}")
    same = f"edgemeter serve --host 127.0.0.1 --port {free_port()} --fleet-port {free_port()}"
    assert "coordinator" in office.refused(f"{same} --state-dir {office.folder / 'coordinator'}")
    # The one that serves is unharmed.
    office.ok("edgemeter device ls")


def test_an_agent_that_has_not_joined(desk: Desk) -> None:
    assert "join" in desk.refused("edgemeter-agent run")


def test_the_agent_refuses_what_is_no_model(office: Desk, material: Path) -> None:
    assert "no-model" in office.refused(f"edgemeter-agent bench {material / 'no-model.keras'}")
