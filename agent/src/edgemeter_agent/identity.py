"""Who this board is to its coordinator: the key and certificate that it made and was given.

One file holds all of it, so that a join, or a renewed certificate, is there whole or not at all.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from edgemeter_agent import durable
from edgemeter_agent.failure import AgentError


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a board needs to attach. The key never leaves the board."""

    device_id: str
    name: str
    # As it was dialled when joining.
    host: str
    enrol_port: int
    fleet_port: int
    key_pem: str = field(repr=False)
    # Leaf first, then the CA.
    certificate_chain_pem: str
    ca_pem: str

    @property
    def fleet_address(self) -> str:
        return address(self.host, self.fleet_port)


def address(host: str, port: int) -> str:
    """host:port, with the brackets that an IPv6 address needs."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def load(path: Path) -> Identity | None:
    """The identity in `path`, None where this board has not joined. Raises AgentError where it is damaged."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AgentError(f"cannot read {path}: {error.strerror}") from error
    try:
        values = json.loads(content)
        identity = Identity(**{one.name: values[one.name] for one in fields(Identity)})
    except (ValueError, KeyError, TypeError) as error:
        raise AgentError(f"{path} is damaged ({error!r}): join again with --force") from error
    return identity


def save(identity: Identity, path: Path) -> None:
    """Writes `identity`, readable by its owner alone. Raises AgentError; then `path` is as before."""
    try:
        durable.write_whole(path, json.dumps(asdict(identity), indent=1).encode(), mode=0o600)
    except OSError as error:
        raise AgentError(f"cannot write {path}: {error.strerror}") from error
