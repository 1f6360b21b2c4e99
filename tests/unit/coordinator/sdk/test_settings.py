from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_coordinator.sdk import settings
from edgemeter_coordinator.sdk.errors import EdgemeterError, NotConfigured
from edgemeter_coordinator.sdk.settings import Settings

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("lab:7000", ("lab", 7000)),
        # The port may be left out.
        ("lab.example.org", ("lab.example.org", 7443)),
        ("192.168.1.10:1", ("192.168.1.10", 1)),
        ("[::1]:65535", ("::1", 65535)),
        ("[fe80::1]", ("fe80::1", 7443)),
        # Pasted with blanks around it.
        (" lab:7000 ", ("lab", 7000)),
    ],
)
def test_addresses(text: str, parsed: tuple[str, int]) -> None:
    assert settings.parse_address(text) == parsed
    assert settings.parse_address(settings.join_address(*parsed)) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":7443",
        "lab:",
        "lab:http",
        "lab:0",
        "lab:65536",
        # IPv6 without brackets: which colon is the port's?
        "::1",
        "fe80::1:7443",
        "https://lab:7443",
        "user@lab:7443",
        "two words:7443",
        # A digit to Unicode, not to a port.
        "lab:٣",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(NotConfigured, match="address"):
        settings.parse_address(text)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        host, port = settings.parse_address(text)
    except NotConfigured:
        return
    assert host
    assert 0 < port < 65536


@given(token=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=60))
def test_what_is_saved_is_loaded(token: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("config") / "deep" / "config.toml"
    settings.save(path, Settings(address="lab:7443", token=token, ca_pem=PEM))
    assert settings.load(path) == {"address": "lab:7443", "token": token, "ca_pem": PEM}


def test_the_file_is_its_owners_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("old")
    path.chmod(0o644)
    settings.save(path, Settings(address="lab:7443", token="t", ca_pem=PEM))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgemeterError, match="file"):
        settings.save(tmp_path / "file" / "config.toml", Settings(address="a", token="t", ca_pem=PEM))


@pytest.mark.parametrize(
    ("content", "elsewhere"),
    [
        pytest.param(None, None, id="no file"),
        pytest.param("address = ", None, id="a broken file"),
        pytest.param('address = "lab:7443"\nca_pem = "A"', None, id="no token: nothing is lost"),
        pytest.param('address = "here:1"\ntoken = "t"\nca_pem = "A"', None, id="took its place"),
        pytest.param('address = "here:2"\ntoken = "t"\nca_pem = "ours\\n"', None, id="now at another port"),
        pytest.param('address = "lab:7443"\ntoken = "t"\nca_pem = "A"', "lab:7443", id="another lab"),
    ],
)
def test_a_login_to_another_coordinator_is_seen(
    content: str | None, elsewhere: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "config.toml"
    if content is not None:
        path.write_text(content)
    assert settings.login_elsewhere(path, address="here:1", ca_pem="ours") == elsewhere


@pytest.fixture
def filed(tmp_path: Path) -> dict[str, str]:
    """An environment whose configuration file says all three."""
    path = tmp_path / "config.toml"
    settings.save(path, Settings(address="filed:1", token="filed", ca_pem=PEM))
    return {"EDGEMETER_CONFIG": str(path)}


def test_the_argument_goes_before_the_environment_before_the_file(
    filed: dict[str, str], tmp_path: Path
) -> None:
    assert settings.resolve(environ=filed) == Settings(address="filed:1", token="filed", ca_pem=PEM)
    ca = tmp_path / "ca.pem"
    ca.write_text(PEM.replace("MIIB", "MIIC"))
    surroundings = filed | {
        "EDGEMETER_COORDINATOR": "env:2",
        "EDGEMETER_TOKEN": "env",
        "EDGEMETER_CA": str(ca),
    }
    from_environment = settings.resolve(environ=surroundings)
    assert (from_environment.address, from_environment.token) == ("env:2", "env")
    assert "MIIC" in from_environment.ca_pem
    given = settings.resolve(address="arg:3", token="arg", ca=PEM, environ=surroundings)
    assert given == Settings(address="arg:3", token="arg", ca_pem=PEM)


def test_each_is_taken_from_where_it_is(filed: dict[str, str]) -> None:
    mixed = settings.resolve(token="arg", environ=filed | {"EDGEMETER_COORDINATOR": "env"})
    assert mixed == Settings(address="env:7443", token="arg", ca_pem=PEM)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "edgemeter serve.*edgemeter login"),
        ({"address": "lab:1"}, "CA.*EDGEMETER_CA"),
        ({"address": "lab:1", "ca": PEM}, "token.*EDGEMETER_TOKEN"),
        ({"address": "lab:1", "ca": "/no/such/file", "token": "t"}, "/no/such/file"),
        ({"address": "lab:1", "ca": PEM, "token": "two words"}, "pasted whole"),
        ({"address": "lab:x", "ca": PEM, "token": "t"}, "lab:x.*HOST:PORT"),
    ],
)
def test_what_is_missing_is_named(given: dict[str, str], says: str, tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match=says):
        settings.resolve(**given, environ={"EDGEMETER_CONFIG": str(tmp_path / "none.toml")})


@pytest.mark.parametrize(
    "content", [b"address = ", b"\xff\xfe", b"address = 7"], ids=["cut", "binary", "number"]
)
def test_a_broken_file_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    with pytest.raises(NotConfigured, match=r"config\.toml.*edgemeter login"):
        settings.resolve(environ={"EDGEMETER_CONFIG": str(path)})


def test_a_ca_that_is_no_certificate(tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_text("hello")
    with pytest.raises(NotConfigured, match=r"ca\.pem is no certificate"):
        settings.read_ca(path)
