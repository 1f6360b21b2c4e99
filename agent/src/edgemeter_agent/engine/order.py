"""In which order variants take their blocks: pure."""

from __future__ import annotations

import random


def block_order(variants: int, blocks: int, seed: int, process: int) -> list[list[int]]:
    """Passes over the variants: `blocks` lists, each with every variant's index once.

    Passes come in pairs, a shuffled order and then its reverse (ABBA): over a pair each variant has the same
    mean position, so a drift that is linear in time (warming up, throttling) weighs on all alike; a new
    shuffle for each pair, and for each round of processes, keeps neighbours from being always the same. An
    odd last pass is half a pair.
    """
    shuffler = random.Random(f"{seed}/{process}")  # noqa: S311
    passes: list[list[int]] = []
    while len(passes) < blocks:
        order = list(range(variants))
        shuffler.shuffle(order)
        passes += [order, order[::-1]]
    return passes[:blocks]
