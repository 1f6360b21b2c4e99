"""How fast a model writes text, from its generations: pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgemeter_agent.engine.record import TimedBlock
from edgemeter_agent.statistics.bootstrap import Block
from edgemeter_agent.statistics.intervals import median_interval
from edgemeter_agent.statistics.percentiles import percentile
from edgemeter_agent.statistics.summaries import percentile_summaries
from edgemeter_protos.v1 import result_pb2, variant_pb2

SECOND_NS = 1e9
LEAST_NS = 1.0
"""Stands for a time of 0, which has no rate."""


def summarize_text_speed(
    blocks: Sequence[TimedBlock], generation: variant_pb2.Generation, seed: int
) -> result_pb2.TextSpeed:
    """Of blocks that hold at least one generation, each with its time to first token.

    Decode and prefill are apart: a prompt goes through the model at once, which is bound by arithmetic, and
    each token after it alone, which is bound by reading the weights. A generation's decode speed is its
    tokens after the first over the time after the first; the median generation's is given, with the interval
    that the median of those times has. Without a second token there is none.
    """
    firsts = [_block(block, block.first_token_ns) for block in blocks]
    ttft_p50, ttft_p90 = percentile_summaries(firsts, seed, percents=(50.0, 90.0))
    prompt_tokens, decoded = len(generation.prompt_ids), generation.new_tokens - 1
    speed = result_pb2.TextSpeed(
        prompt_tokens=prompt_tokens,
        new_tokens=generation.new_tokens,
        generations=sum(block.first_token_ns.size for block in blocks),
        ttft_p50=ttft_p50,
        ttft_p90=ttft_p90,
        prefill_tokens_per_s=_rate(prompt_tokens, ttft_p50.value_ns),
    )
    if decoded > 0:
        rests = [_block(block, block.latency_ns - block.first_token_ns) for block in blocks]
        between = median_interval(rests, seed)
        middle_ns = percentile(np.concatenate([rest.samples for rest in rests]), 50)
        speed.decode_tokens_per_s = _rate(decoded, middle_ns)
        speed.decode_ci95_low, speed.decode_ci95_high = (
            _rate(decoded, between.high),
            _rate(decoded, between.low),
        )
    return speed


def _block(block: TimedBlock, times_ns: np.typing.NDArray[np.int64]) -> Block:
    return Block(process=block.process, samples=times_ns.astype(np.float64))


def _rate(tokens: int, duration_ns: float) -> float:
    return tokens * SECOND_NS / max(duration_ns, LEAST_NS)
