"""Names for new rows."""

from __future__ import annotations

import secrets


def new_id() -> str:
    """16 lower-case hexadecimal characters, 64 random bits."""
    return secrets.token_hex(8)
