from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent import joining
from edgemeter_agent.failure import AgentError
from edgemeter_agent.identity import address

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("192.168.1.10:7443", "192.168.1.10", 7443),
        ("lab.example:1", "lab.example", 1),
        ("[::1]:7443", "::1", 7443),
        ("[fe80::1%eth0]:65535", "fe80::1%eth0", 65535),
    ],
)
def test_an_address(text: str, host: str, port: int) -> None:
    assert joining.parse_address(text) == (host, port)
    assert address(host, port) == text


@pytest.mark.parametrize(
    "text", ["", "lab", "lab:", ":7443", "lab:0", "lab:65536", "::1:7443", "lab:seven", "https://lab:7443"]
)
def test_no_address(text: str) -> None:
    with pytest.raises(AgentError, match="give HOST:PORT"):
        joining.parse_address(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"sha256:{HEX}", id="as printed"),
        pytest.param(HEX, id="without its prefix"),
        pytest.param(f" sha256:{HEX.upper()}\n", id="pasted"),
        pytest.param("sha256:" + ":".join(HEX[i : i + 2] for i in range(0, 64, 2)), id="as openssl prints"),
    ],
)
def test_a_fingerprint(text: str) -> None:
    assert joining.parse_fingerprint(text) == HEX


@pytest.mark.parametrize(
    "text", ["", "sha256:", f"sha1:{HEX}", f"sha256:{HEX[:-1]}", f"sha256:{HEX}0", "g" * 64]
)
def test_no_fingerprint(text: str) -> None:
    with pytest.raises(AgentError, match="sha256: and 64 hexadecimal digits"):
        joining.parse_fingerprint(text)


def refusal(parse: Callable[[str], object], text: str) -> str:
    try:
        parse(text)
    except AgentError as error:
        return str(error)
    return ""


@given(st.text())
def test_any_text_is_parsed_or_refused_in_one_line(text: str) -> None:
    assert "\n" not in refusal(joining.parse_address, text)
    assert "\n" not in refusal(joining.parse_fingerprint, text)


@pytest.mark.parametrize(
    "pem", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nabc\n-----END CERTIFICATE-----"]
)
def test_what_is_no_certificate_has_no_fingerprint(pem: str) -> None:
    with pytest.raises(AgentError, match="no certificate in PEM"):
        joining.fingerprint(pem)
