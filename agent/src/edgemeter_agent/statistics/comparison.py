"""Is a variant faster than the baseline? From blocks that were measured beside each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from edgemeter_agent.statistics.distributions import student_t_quantile, student_t_two_sided
from edgemeter_protos.v1 import result_pb2

ALPHA = 0.05
LEAST_NS = 1e-9


class PassBlock(Protocol):
    """A block that says when in its job it was measured."""

    @property
    def process(self) -> int:
        """The round of fresh processes in which it was taken; the same number for all variants."""

    @property
    def number(self) -> int:
        """The pass over the variants within the round; the same number for all variants."""

    @property
    def latency_ns(self) -> npt.NDArray[Any]:
        """Shape [queries]."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Of the logarithms of two latencies."""

    mean: float
    standard_error: float | None
    """None where a single pair was measured: nothing is known of how pairs differ."""
    freedom: int
    """Degrees of freedom of the standard error."""
    pairs: int

    def two_sided_p(self) -> float:
        """How likely a difference as large is where there is none; 1 where nothing can be said."""
        if self.standard_error is None:
            return 1.0
        if self.standard_error == 0:
            return 1.0 if self.mean == 0 else 0.0
        return student_t_two_sided(self.mean / self.standard_error, self.freedom)

    def interval(self, alpha: float) -> tuple[float, float] | None:
        """1 - alpha interval, in logarithms."""
        if self.standard_error is None:
            return None
        half = student_t_quantile(1 - alpha / 2, self.freedom) * self.standard_error
        return self.mean - half, self.mean + half


def compare(
    baseline: Sequence[PassBlock], variants: Mapping[str, Sequence[PassBlock]], baseline_id: str = ""
) -> dict[str, result_pb2.Comparison]:
    """Each variant's median latency over the baseline's, by the variant's id, from blocks that were kept.

    A block of the variant and the baseline's block of the same pass are a pair: what the board does to one
    (a temperature that rises, a neighbour), it does to the other, and since the order turns round from pass
    to pass (ABBA), what happens between them falls on either alike. A block whose partner was voided says
    nothing here.

    The interval is Student's t on the logarithm of the ratio. What is independent is the process, not the
    pass (Kalibera & Jones, "Rigorous Benchmarking in Reasonable Time", ISMM 2013): the mean over a round's
    passes is one observation, and there are rounds - 1 degrees of freedom. With one round the passes take the
    rounds' place, and nothing is known of how processes differ. With a single pair the interval is 0 to 0 and
    p is 1: one cannot tell. A variant without any pair has no comparison.

    All variants of a job are asked at once. Intervals are Bonferroni's, so that with 95 % all of them hold
    the true ratios together. p values are Holm's ("A Simple Sequentially Rejective Multiple Test Procedure",
    Scandinavian Journal of Statistics 6, 1979). "Faster" and "slower" are said where the interval leaves out
    1; Holm's p is below 5 % then. It may also be so where the interval, which promises more, holds 1: the
    answer is then that one cannot tell.
    """
    found = {name: difference(baseline, blocks) for name, blocks in variants.items()}
    paired = {name: one for name, one in found.items() if one is not None}
    asked = [name for name, one in paired.items() if one.standard_error is not None]
    corrected = dict(zip(asked, holm([paired[name].two_sided_p() for name in asked]), strict=True))
    comparisons = {}
    for name, one in paired.items():
        comparison = result_pb2.Comparison(
            baseline_variant_id=baseline_id,
            ratio=_exp(one.mean),
            p_value=corrected.get(name, 1.0),
            outcome=result_pb2.OUTCOME_CANNOT_TELL,
            pairs=one.pairs,
        )
        ends = one.interval(ALPHA / max(len(asked), 1))
        if ends is not None:
            comparison.ci95_low, comparison.ci95_high = _exp(ends[0]), _exp(ends[1])
            comparison.outcome = outcome(*ends)
        comparisons[name] = comparison
    return comparisons


def difference(baseline: Iterable[PassBlock], variant: Iterable[PassBlock]) -> Difference | None:
    """The mean logarithm of the ratio over the pairs; None where there is no pair."""
    partners = {(block.process, block.number): _log_median(block) for block in baseline}
    rounds: dict[int, list[float]] = {}
    for block in variant:
        partner = partners.get((block.process, block.number))
        if partner is not None:
            rounds.setdefault(block.process, []).append(_log_median(block) - partner)
    if not rounds:
        return None
    pairs = sum(len(ratios) for ratios in rounds.values())
    if len(rounds) > 1:
        observed = np.array([np.mean(ratios) for ratios in rounds.values()])
    else:
        observed = np.array(next(iter(rounds.values())))
    spread = None
    if len(observed) > 1:
        spread = float(np.std(observed, ddof=1)) / math.sqrt(len(observed))
    return Difference(
        mean=float(observed.mean()), standard_error=spread, freedom=len(observed) - 1, pairs=pairs
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p values, in the order given: each can be held against 5 % by itself."""
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda number: p_values[number])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def outcome(low: float, high: float) -> result_pb2.Outcome.ValueType:
    """Of an interval of the ratio's logarithm."""
    if high < 0:
        return result_pb2.OUTCOME_FASTER
    if low > 0:
        return result_pb2.OUTCOME_SLOWER
    return result_pb2.OUTCOME_CANNOT_TELL


def _log_median(block: PassBlock) -> float:
    return math.log(max(float(np.median(block.latency_ns)), LEAST_NS))


def _exp(value: float) -> float:
    return math.exp(min(max(value, -700.0), 700.0))
