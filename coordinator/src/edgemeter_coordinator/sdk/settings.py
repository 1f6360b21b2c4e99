"""Where the coordinator is and how to be believed there: argument, then environment, then file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import tomllib

from edgemeter_coordinator.sdk import atomic_file
from edgemeter_coordinator.sdk.errors import EdgemeterError, NotConfigured

DEFAULT_PORT = 7443

_ADDRESS, _TOKEN, _CA, _CONFIG = (
    "EDGEMETER_COORDINATOR",
    "EDGEMETER_TOKEN",
    "EDGEMETER_CA",
    "EDGEMETER_CONFIG",
)
_PEM_START = "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that a user needs to talk to a coordinator."""

    address: str
    """HOST:PORT."""
    token: str
    ca_pem: str


def parse_address(text: str) -> tuple[str, int]:
    """The host and the port of "HOST", "HOST:PORT" or "[IPV6]:PORT"; the port may be left out.

    Raises NotConfigured.
    """
    host, colon, port_text = text.strip().rpartition(":")
    if not colon or port_text.endswith("]"):
        host, port_text = text.strip(), str(DEFAULT_PORT)
    bare = host.removeprefix("[").removesuffix("]")
    plain = bool(bare) and not any(character in bare for character in "/@ \t")
    bracketed = host.startswith("[") and host.endswith("]")
    if not plain or (":" in bare) != bracketed or not (port_text.isascii() and port_text.isdigit()):
        raise NotConfigured(f"'{text}' is no address: write HOST:PORT, as in 192.168.1.10:{DEFAULT_PORT}")
    if not 0 < int(port_text) < 65536:
        raise NotConfigured(f"'{text}' is no address: a port is between 1 and 65535")
    return bare, int(port_text)


def join_address(host: str, port: int) -> str:
    """ "HOST:PORT", with the brackets that IPv6 needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def config_path(environ: Mapping[str, str] = os.environ) -> Path:
    """The file that `serve` and `login` write: EDGEMETER_CONFIG, or the user's configuration folder."""
    if environ.get(_CONFIG):
        return Path(environ[_CONFIG]).expanduser()
    import platformdirs

    return platformdirs.user_config_path("edgemeter") / "config.toml"


def load(path: Path) -> dict[str, str]:
    """The file's `address`, `token` and `ca_pem`, those that it has; {} where there is no file.

    Raises NotConfigured.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise NotConfigured(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NotConfigured(
            f"{path} is no configuration file ({error}): run `edgemeter login` again"
        ) from error
    known: dict[str, str] = {key: content[key] for key in ("address", "token", "ca_pem") if key in content}
    for key, value in known.items():
        if not isinstance(value, str):
            raise NotConfigured(f"{path}: {key} is not a text: run `edgemeter login` again")
    return known


def login_elsewhere(path: Path, *, address: str, ca_pem: str) -> str | None:
    """The address of another coordinator that the file logs in to; None where it may be overwritten.

    A coordinator at the same address, or with the same CA, is this one or the one that it took the place of.
    """
    try:
        filed = load(path)
    except NotConfigured:
        return None
    there, pinned = filed.get("address"), filed.get("ca_pem", "")
    if not there or not filed.get("token") or there == address or pinned.strip() == ca_pem.strip():
        return None
    return there


def save(path: Path, settings: Settings) -> None:
    """Writes `settings` for this user only, whole or not at all. Raises EdgemeterError."""
    text = (
        "# Written by `edgemeter serve` or `edgemeter login`.\n"
        f"address = {_toml_string(settings.address)}\n"
        f"token = {_toml_string(settings.token)}\n"
        f'ca_pem = """\n{settings.ca_pem.strip()}\n"""\n'
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgemeterError(f"cannot make the folder {path.parent}: {error.strerror}") from error
    atomic_file.write_text(path, text, private=True)


def _toml_string(text: str) -> str:
    # TOML's basic strings escape as JSON's do, within ASCII.
    return json.dumps(text)


def read_ca(ca: str | Path) -> str:
    """The PEM text of `ca`, which is that text or a file of it. Raises NotConfigured."""
    if isinstance(ca, str) and _PEM_START in ca:
        return ca
    try:
        text = Path(ca).expanduser().read_text(encoding="ascii")
    except OSError as error:
        raise NotConfigured(f"cannot read the CA's certificate {ca}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise NotConfigured(f"{ca} is no certificate in PEM form") from error
    if _PEM_START not in text:
        raise NotConfigured(f"{ca} is no certificate in PEM form")
    return text


def _is_sendable(token: str) -> bool:
    """True for what an HTTP header may carry: printable ASCII without spaces."""
    return token.isascii() and token.isprintable() and " " not in token


def resolve(
    *,
    address: str | None = None,
    token: str | None = None,
    ca: str | Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """What the arguments say, and where they say nothing the environment, and then the file.

    Raises NotConfigured, naming what is missing and how to give it.
    """
    path = config_path(environ)
    address = address or environ.get(_ADDRESS)
    token = token or environ.get(_TOKEN)
    ca = ca or environ.get(_CA)
    filed = {} if address and token and ca else load(path)
    address = address or filed.get("address")
    token = token or filed.get("token")
    if not address:
        raise NotConfigured(
            "no coordinator is known here: start one with `edgemeter serve`, or run"
            f" `edgemeter login HOST:PORT`, or set {_ADDRESS} (looked in {path})"
        )
    address = join_address(*parse_address(address))
    ca_pem = read_ca(ca) if ca else filed.get("ca_pem")
    if not ca_pem:
        raise NotConfigured(
            f"no CA is pinned for {address}: run `edgemeter login {address} …`, or set {_CA} to its file"
        )
    if not token:
        raise NotConfigured(f"no token for {address}: run `edgemeter login {address} …`, or set {_TOKEN}")
    if not _is_sendable(token):
        raise NotConfigured(
            f"the token for {address} holds characters that no token has: was it pasted whole?"
        )
    return Settings(address=address, token=token, ca_pem=ca_pem)
