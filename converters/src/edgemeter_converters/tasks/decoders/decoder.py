"""What a detector's head is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from edgemeter_converters.tasks.boxes import Boxes

LEAST_SCORE = 0.01
"""Boxes that a model is less sure of are not looked at: they are most of what a head gives, and add nothing
that average precision shows."""
MAX_BOXES = 100
"""At most so many of a picture are looked at, as COCO's evaluation has it."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a user says of a head.

    Attributes:
        classes: how many there are, without a background; None: as many as the outputs have.
        size: height and width of the input, pixels.
    """

    classes: int | None = None
    size: int = 300


class Decoder(Protocol):
    """A head: how boxes are read off a model's outputs."""

    def misfit(self, shapes: Sequence[tuple[int, ...]]) -> str:
        """Why outputs of these shapes (batch first) are not this head's: what it wants, a clause; empty where
        they may be."""
        ...

    def classes(self, shapes: Sequence[tuple[int, ...]]) -> int | None:
        """How many classes outputs of these shapes, which fit, tell apart; None where they don't say."""
        ...

    def decode(self, outputs: Sequence[NDArray[Any]]) -> Boxes:
        """What is found, at most MAX_BOXES a picture, each picture's best first.

        Args:
            outputs: float, batch first, of shapes that fit.

        Raises:
            ValueError: values that this head cannot give.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Head:
    """A decoder as its name stands for it."""

    name: str
    summary: str
    make: Callable[[Settings], Decoder]
