"""Failures that end a command in one clear line."""

from __future__ import annotations

import grpc

from edgemeter_protos import refusals


class AgentError(Exception):
    """What went wrong, where, and what to do: the line that the user reads."""


def describe(error: grpc.RpcError) -> str:
    """One line for a failed call: the refusal's own words where it carries one."""
    refusal = refusals.unpack(error)
    if refusal is not None:
        return refusal.message
    code = getattr(error, "code", lambda: None)()
    details = str(getattr(error, "details", lambda: None)() or "").strip()
    first_line = details.splitlines()[0] if details else ""
    name = code.name.lower().replace("_", " ") if code is not None else type(error).__name__
    return f"{name}: {first_line}" if first_line else name


def refusal_reason(error: grpc.RpcError) -> int:
    """The RefusalReason that a failed call carries, 0 where it carries none."""
    refusal = refusals.unpack(error)
    return 0 if refusal is None else refusal.reason
