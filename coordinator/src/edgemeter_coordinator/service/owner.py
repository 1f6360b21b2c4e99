"""The owner's token: it lets in whoever may read the state directory."""

from __future__ import annotations

import getpass
from pathlib import Path

from sqlalchemy import Connection

from edgemeter_coordinator.sdk import atomic_file
from edgemeter_coordinator.store import tokens
from edgemeter_coordinator.tokens import TokenKind, new_secret

FILE_NAME = "owner-token"
"""In the state directory, beside the CA's key and as private."""


def token(connection: Connection, state_dir: Path) -> str | None:
    """The owner's token, made where there is no user yet; None where its file was taken away since.

    The file is written before its hash is: a crash between the two leaves a token that the next start
    takes up, never a coordinator that nobody can enter. Raises EdgemeterError where it can't be written.
    """
    path = state_dir / FILE_NAME
    kept = _read(path)
    if tokens.any_user(connection):
        return kept
    if kept is None:
        kept = new_secret(TokenKind.USER)
        atomic_file.write_text(path, kept + "\n", private=True)
    tokens.create_user(connection, user=_user_name(), secret=kept)
    return kept


def _read(path: Path) -> str | None:
    try:
        secret = path.read_text(encoding="ascii", errors="replace").strip()
    except FileNotFoundError:
        return None
    return secret if secret.startswith(f"em-{TokenKind.USER}-") else None


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "owner"  # a container's user without a name
