from __future__ import annotations

import hashlib
import ssl

import pytest

from edgemeter_coordinator.sdk import login
from edgemeter_coordinator.sdk.errors import NotConfigured

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "text",
    [
        f"sha256:{HEX}",
        HEX,
        # As openssl prints it.
        "sha256:" + ":".join(HEX[at : at + 2] for at in range(0, 64, 2)).upper().lower(),
        f" SHA256:{HEX.upper()} ",
    ],
)
def test_forms_of_a_fingerprint(text: str) -> None:
    assert login.normal_fingerprint(text) == f"sha256:{HEX}"


@pytest.mark.parametrize("text", ["", "sha256:", HEX[:-1], HEX + "0", "md5:" + HEX, "sha256:" + "g" * 64])
def test_what_is_no_fingerprint(text: str) -> None:
    with pytest.raises(NotConfigured, match="64 hexadecimal"):
        login.normal_fingerprint(text)


def test_the_fingerprint_is_that_of_the_der() -> None:
    der = b"any bytes will do"
    expected = "sha256:" + hashlib.sha256(der).hexdigest()
    assert login.fingerprint(ssl.DER_cert_to_PEM_cert(der)) == expected


def test_no_fingerprint_of_what_is_no_certificate() -> None:
    with pytest.raises(NotConfigured, match="PEM"):
        login.fingerprint("hello")
