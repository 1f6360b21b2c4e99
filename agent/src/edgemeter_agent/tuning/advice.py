"""One thing that could make a board's numbers quieter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Step:
    """Something that is done by a program, and undone. `kind` is of `tuning.steps`."""

    kind: str
    what: str = ""
    """A swap device, a service."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Either settings or steps can be changed for it, or `by_hand` says why that is left to people; it is
    quiet where `wanted` is empty."""

    name: str
    current: str
    why: str
    wanted: str = ""
    """Empty where it is as it should be."""
    command: str = ""
    """Exactly what to type."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Path below the board's root -> value."""
    steps: tuple[Step, ...] = ()
    by_hand: str = ""

    @property
    def quiet(self) -> bool:
        return not self.wanted

    @property
    def can_be_applied(self) -> bool:
        return not self.quiet and not self.by_hand and bool(self.settings or self.steps)
