"""A step as a recipe calls it: its name and its arguments, read but not yet understood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Percent:
    """`0.5%` is Percent(0.5)."""

    value: int | float


@dataclass(frozen=True, slots=True)
class Ratio:
    """`2:4` is Ratio(2, 4)."""

    of: int
    out_of: int


@dataclass(frozen=True, slots=True)
class Alternatives:
    """`conv|dense` is Alternatives(("conv", "dense")); two words or more."""

    words: tuple[str, ...]


Value: TypeAlias = int | float | Percent | Ratio | Alternatives | str


@dataclass(frozen=True, kw_only=True)
class StepCall:
    """A step's name and its arguments; keywords are sorted by name, each at most once."""

    name: str
    arguments: tuple[Value, ...] = ()
    keywords: tuple[tuple[str, Value], ...] = ()

    def __str__(self) -> str:
        written = [_text(value) for value in self.arguments]
        written += [f"{key}={_text(value)}" for key, value in self.keywords]
        return f"{self.name}({','.join(written)})" if written else self.name


def _text(value: Value) -> str:
    match value:
        case Percent():
            return f"{value.value}%"
        case Ratio():
            return f"{value.of}:{value.out_of}"
        case Alternatives():
            return "|".join(value.words)
        case _:
            return str(value)
