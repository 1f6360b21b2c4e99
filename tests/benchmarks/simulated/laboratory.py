"""Boards whose truth is known: latencies have a part of the process, the block and the query, and a drift."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edgemeter_agent.engine.order import block_order

MEDIAN_NS = 1_000_000.0

Drift = Callable[[float], float]
"""From the share of the job's time to what is added to the log latency."""


def steady(_: float) -> float:
    return 0.0


def linear(size: float) -> Drift:
    return lambda share: size * share


def exponential(size: float) -> Drift:
    """A board that warms up: two thirds of the rise in the first fifth of the job."""
    return lambda share: size * (1 - math.exp(-5 * share)) / (1 - math.exp(-5))


@dataclass(frozen=True, kw_only=True)
class Plan:
    processes: int
    blocks: int
    queries: int


QUICK = Plan(processes=1, blocks=4, queries=64)
STANDARD = Plan(processes=3, blocks=4, queries=100)
PUBLICATION = Plan(processes=5, blocks=8, queries=500)


@dataclass(frozen=True, kw_only=True)
class Board:
    """Standard deviations of the log latency. Noise of a query is lognormal; a share of the queries takes
    longer by an exponentially distributed part of the logarithm, as where an interrupt or a process gets
    in between: a power law, of exponent 5 for a scale of 0.2."""

    process_sd: float = 0.003
    block_sd: float = 0.003
    query_sd: float = 0.02
    tail_share: float = 0.02
    tail_scale: float = 0.2
    drift: Drift = steady


@dataclass(frozen=True, kw_only=True)
class SimulatedBlock:
    """What the engine's blocks have."""

    process: int
    number: int
    latency_ns: npt.NDArray[np.float64]

    @property
    def samples(self) -> int:
        return len(self.latency_ns)

    @property
    def duration_ns(self) -> int:
        return int(self.latency_ns.sum())


def queries_log(random: np.random.Generator, board: Board, count: int) -> npt.NDArray[np.float64]:
    """What the single query adds to the log latency."""
    tail = (random.random(count) < board.tail_share) * random.exponential(board.tail_scale, count)
    log: npt.NDArray[np.float64] = random.normal(0, board.query_sd, count) + tail
    return log


def interleaved(variants: int, plan: Plan, seed: int) -> list[tuple[int, int, int]]:
    """(variant, process, pass) in the order in which the engine measures."""
    return [
        (variant, process, number)
        for process in range(plan.processes)
        for number, order in enumerate(block_order(variants, plan.blocks, seed, process))
        for variant in order
    ]


def back_to_back(variants: int, plan: Plan) -> list[tuple[int, int, int]]:
    """One variant after the other, as a script does it."""
    return [
        (variant, process, number)
        for variant in range(variants)
        for process in range(plan.processes)
        for number in range(plan.blocks)
    ]


def measure(
    random: np.random.Generator,
    board: Board,
    plan: Plan,
    effects: Sequence[float],
    order: Sequence[tuple[int, int, int]],
) -> list[list[SimulatedBlock]]:
    """Blocks of each variant; `effects` are the variants' true log latencies over the median's."""
    of_process = random.normal(0, board.process_sd, (len(effects), plan.processes))
    measured: list[list[SimulatedBlock]] = [[] for _ in effects]
    for place, (variant, process, number) in enumerate(order):
        level = (
            effects[variant]
            + of_process[variant, process]
            + random.normal(0, board.block_sd)
            + board.drift(place / len(order))
        )
        latency = MEDIAN_NS * np.exp(level + queries_log(random, board, plan.queries))
        measured[variant].append(SimulatedBlock(process=process, number=number, latency_ns=latency))
    return measured


@functools.lru_cache(maxsize=16)
def truth(board: Board) -> npt.NDArray[np.float64]:
    """Sorted latencies of two million queries, each of a process and a block of its own."""
    random = np.random.default_rng(987)
    count = 2_000_000
    between = math.hypot(board.process_sd, board.block_sd)
    log = random.normal(0, between, count) + queries_log(random, board, count)
    return np.sort(MEDIAN_NS * np.exp(log))
