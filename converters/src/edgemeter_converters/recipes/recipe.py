"""A recipe as a value."""

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


Value: TypeAlias = int | float | Percent | Ratio | str


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


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Steps in their order, and the format that the result is written in. `str()` is the canonical text."""

    steps: tuple[StepCall, ...]
    format: str

    def __str__(self) -> str:
        return f"{'+'.join(map(str, self.steps))}@{self.format}"


def _text(value: Value) -> str:
    match value:
        case Percent():
            return f"{value.value}%"
        case Ratio():
            return f"{value.of}:{value.out_of}"
        case _:
            return str(value)
