"""How long a conversion will take, by what like ones took. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_SCALE, MOST_SCALE = 0.1, 10.0
"""Between models of very different size the time is not proportional to it: tools take a second or two to
get going, whatever they are given."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A stage, or the encoding of a variant.

    Attributes:
        text: "prune(0.5)" for a stage, "int8@tflite" for an encoding.
        model_digest: of the original.
        parameters: of the original.
    """

    text: str
    model_digest: str
    parameters: int

    @property
    def kind(self) -> str:
        """The step without its arguments, and the format: "prune", "int8@tflite"."""
        step, at, format_ = self.text.partition("@")
        return step.partition("(")[0] + at + format_


@dataclass(frozen=True, kw_only=True, slots=True)
class Past:
    """What was done, and how long it took."""

    work: Work
    duration_ns: int


def estimate_ns(work: Work, past: Sequence[Past]) -> float | None:
    """The median of what the most alike ones took; None where there is none like it.

    The same on the same model is the most alike, then the same on others, then the same step with other
    arguments; times on other models are scaled by the models' parameters.
    """
    alike = [each for each in past if each.work.kind == work.kind]
    for nearer in (
        [each for each in alike if each.work == work],
        [each for each in alike if each.work.text == work.text],
        alike,
    ):
        if nearer:
            return statistics.median(each.duration_ns * _scale(work, each.work) for each in nearer)
    return None


def _scale(work: Work, other: Work) -> float:
    if work.model_digest == other.model_digest or not (work.parameters and other.parameters):
        return 1.0
    return min(MOST_SCALE, max(LEAST_SCALE, work.parameters / other.parameters))
