"""The SDK at a coordinator that runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import edgemeter_coordinator
from edgemeter_coordinator import EdgemeterError, Refused, Unreachable
from edgemeter_coordinator.sdk import login
from edgemeter_coordinator.sdk.lab import Lab
from edgemeter_coordinator.sdk.settings import Settings
from edgemeter_protos import PROTOCOL_VERSION
from tests.desk import Desk, free_port


def test_connect_by_arguments(where: Settings) -> None:
    with edgemeter_coordinator.connect(where.address, token=where.token, ca=where.ca_pem) as lab:
        assert lab.coordinator().protocol_version == PROTOCOL_VERSION


def test_connect_by_the_configuration_file(serving: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COORDINATOR", "TOKEN", "CA"):
        monkeypatch.delenv(f"EDGEMETER_{name}", raising=False)
    path = serving.folder / "config" / "edgemeter" / "config.toml"
    monkeypatch.setenv("EDGEMETER_CONFIG", str(path))
    with edgemeter_coordinator.connect() as lab:
        assert lab.devices() == []


def test_the_ca_by_its_fingerprint(lab: Lab, where: Settings) -> None:
    fetched = login.fetch_ca(where.address, lab.coordinator().ca_fingerprint)
    assert fetched.split() == where.ca_pem.split()


def test_another_coordinators_ca_is_not_believed(where: Settings, tmp_path: Path) -> None:
    other = Desk(tmp_path)
    try:
        other.serve()
        ca_pem = (tmp_path / "coordinator" / "tls" / "ca.pem").read_text()
        with (
            Lab(dataclasses.replace(where, ca_pem=ca_pem)) as lab,
            pytest.raises(Unreachable, match="CA that is pinned"),
        ):
            lab.coordinator()
    finally:
        other.finish()


def test_an_unknown_token(where: Settings) -> None:
    with Lab(dataclasses.replace(where, token="em-user-wrong")) as lab:
        with pytest.raises(Refused, match="edgemeter login") as refused:
            lab.models()
        assert refused.value.reason == "UNAUTHENTICATED"


def test_a_ca_that_cannot_be_read(where: Settings) -> None:
    junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    with pytest.raises(EdgemeterError, match="can't be read"):
        Lab(dataclasses.replace(where, ca_pem=junk))


def test_nobody_there(where: Settings) -> None:
    address = f"127.0.0.1:{free_port()}"
    with Lab(dataclasses.replace(where, address=address)) as lab:
        with pytest.raises(Unreachable, match=address) as unreachable:
            lab.studies()
        assert unreachable.value.address == address


def test_tokens(lab: Lab) -> None:
    made = lab.new_join_token({"rack": "z"}, uses=2, ttl_s=60)
    assert made.token
    assert made.ca_fingerprint == lab.coordinator().ca_fingerprint
    assert ({"rack": "z"}, 2) in [(dict(token.labels), token.uses_left) for token in lab.tokens()]
    secret = lab.new_user_token("dave")
    with Lab(Settings(address=lab.address, token=secret, ca_pem=_ca(lab))) as dave:
        assert dave.coordinator().user == "dave"


def _ca(lab: Lab) -> str:
    return login.fetch_ca(lab.address, lab.coordinator().ca_fingerprint)


def test_an_unknown_study(lab: Lab) -> None:
    with pytest.raises(Refused, match="nothing") as refused:
        lab.study("nothing")
    assert refused.value.reason == "NOT_FOUND"


def test_bench_names_what_it_cannot_find(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(EdgemeterError, match=r"gone\.keras.*model ls"):
        lab.bench("gone.keras", recipes=["int8"])
    with pytest.raises(EdgemeterError, match=r"gone\.keras"):
        lab.bench(tmp_path / "gone.keras", recipes=["int8"])
    with pytest.raises(EdgemeterError, match="is a folder"):
        lab.bench(str(tmp_path), recipes=["int8"])
    for no_name in ("a" * 400, "nul\0"):
        with pytest.raises(EdgemeterError, match="there is no file"):
            lab.bench(no_name, recipes=["int8"])
    with pytest.raises(EdgemeterError, match="profile"):
        lab.bench("gone", recipes=["int8"], profile="huge")
    with pytest.raises(EdgemeterError, match="did you mean threads"):
        lab.bench("gone", recipes=["int8"], thread=2)
    assert lab.studies() == []
