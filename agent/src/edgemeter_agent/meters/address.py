"""HOST:PORT as people write it."""

from __future__ import annotations

import re

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252})", re.ASCII)
_IPV6 = re.compile(r"\[([0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9]{1,15})?)\]", re.ASCII)


def split_address(text: str, default_port: int | None = None) -> tuple[str, int]:
    """The host (an IPv6 address without its brackets) and the port of "HOST:PORT" or "[ADDRESS]:PORT".

    Raises ValueError, one line, where it is neither; without a port only where there is a default.
    """
    host, colon, port = text.rpartition(":")
    if not colon or (text.startswith("[") and text.endswith("]")):
        if default_port is None:
            raise ValueError(f"{text!r} is no HOST:PORT")
        host, port = text, str(default_port)
    bracketed = _IPV6.fullmatch(host)
    if bracketed is None and _HOST.fullmatch(host) is None:
        raise ValueError(f"{host!r} is no host name; an IPv6 address stands in brackets")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 <= int(port) <= 65535):
        raise ValueError(f"{port!r} is no port")
    return (bracketed.group(1) if bracketed else host), int(port)


def join_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
