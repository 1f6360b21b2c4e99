"""What was not measured is None, never 0. The contract's zero means "absent" wherever a real measurement is
never zero; elsewhere a field's presence tells. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.message import Message

Exported = dict[str, Any]
"""Part of a result: nested dicts and lists of JSON's types."""


def present(message: Message, name: str) -> Any:
    """A field of explicit presence; None where it is absent."""
    return getattr(message, name) if message.HasField(name) else None


def all_present(message: Message, names: Iterable[str]) -> Exported:
    """Fields of explicit presence by name."""
    return {name: present(message, name) for name in names}


def taken(message: Message, names: Iterable[str], *, there: bool) -> Exported:
    """Fields by name as they are, also where they are zero; all None unless `there`."""
    return {name: getattr(message, name) if there else None for name in names}


def non_zero(message: Message, names: Iterable[str]) -> Exported:
    """Fields by name; None for zero, which none of them can be once measured."""
    return {name: getattr(message, name) or None for name in names}


def interval(low: float, high: float, *, there: bool) -> list[float] | None:
    """[low, high]; None unless `there`."""
    return [low, high] if there else None
