"""Bearer secrets: what they look like, and the only form in which they are kept."""

from __future__ import annotations

import hashlib
import secrets
from enum import StrEnum

SECRET_BYTES = 24
"""192 random bits: too many to guess, so a plain hash is enough to keep them by."""


class TokenKind(StrEnum):
    JOIN = "join"
    USER = "user"
    WORKER = "worker"


def new_secret(kind: TokenKind) -> str:
    """A fresh secret, "em-user-…": the prefix tells people and scanners what leaked."""
    return f"em-{kind}-{secrets.token_urlsafe(SECRET_BYTES)}"


def secret_sha256(secret: str) -> str:
    """What is stored in the place of `secret`."""
    return hashlib.sha256(secret.encode()).hexdigest()
