"""A recipe as a value."""

from __future__ import annotations

from dataclasses import dataclass

from edgemeter_converters.steps.call import StepCall


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Steps in their order, and the format that the result is written in. `str()` is the canonical text."""

    steps: tuple[StepCall, ...]
    format: str

    def __str__(self) -> str:
        return f"{'+'.join(map(str, self.steps))}@{self.format}"
