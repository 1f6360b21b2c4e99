"""Samples a second, and how far that can be relied on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from edgemeter_agent.statistics.bootstrap import draw
from edgemeter_protos.v1 import result_pb2


class Worked(Protocol):
    """A block: so many samples through the model in so long."""

    @property
    def process(self) -> int: ...
    @property
    def samples(self) -> int: ...
    @property
    def duration_ns(self) -> int: ...


def throughput(blocks: Sequence[Worked], seed: int) -> result_pb2.Throughput:
    """All samples over all time, with its 95 % interval; 0 to 0, that is none, where there is one block.

    The wider of two, on the logarithm: the bootstrap of processes (bootstrap.draw, Drawing.half_width), and
    that of all blocks as if processes did not differ. Three processes may happen to be much alike, and one
    slow query in a thousand moves a mean: alone, the first holds the truth in 90 % of jobs then.

    Raises ValueError where no block took any time.
    """
    blocks = [block for block in blocks if block.duration_ns > 0 and block.samples > 0]
    if not blocks:
        raise ValueError("no block that took time: no throughput")
    samples = np.array([block.samples for block in blocks], np.float64)
    seconds = np.array([block.duration_ns for block in blocks], np.float64) / 1e9
    rate = float(samples.sum() / seconds.sum())
    if len(blocks) == 1:
        return result_pb2.Throughput(samples_per_s=rate)
    widths = []
    for clusters in ([block.process for block in blocks], range(len(blocks))):
        drawing = draw(clusters, seed)
        widths.append(drawing.half_width(np.log((drawing.counts @ samples) / (drawing.counts @ seconds))))
    factor = math.exp(min(max(widths), 700.0))
    return result_pb2.Throughput(samples_per_s=rate, ci95_low=rate / factor, ci95_high=rate * factor)
