"""What is said of how fast a model writes."""

from __future__ import annotations

import numpy as np
import pytest

from edgemeter_agent.conditions.summary import SeenBlock
from edgemeter_agent.engine.first_tokens import FirstTokens
from edgemeter_agent.engine.loop import timed_queries
from edgemeter_agent.engine.record import TimedBlock, VariantRecord
from edgemeter_agent.engine.text_speed import summarize_text_speed
from edgemeter_agent.runtimes.null import NullModel
from edgemeter_protos.v1 import engine_pb2, result_pb2, variant_pb2

GENERATION = variant_pb2.Generation(prompt_ids=range(64), new_tokens=48)
MS = 1_000_000


def block(process: int, first_ms: list[int], rest_ms: list[int]) -> TimedBlock:
    first = np.array(first_ms, np.int64) * MS
    snapshot = result_pb2.Snapshot()
    return TimedBlock(
        process=process,
        number=0,
        latency_ns=first + np.array(rest_ms, np.int64) * MS,
        queueing_ns=np.zeros(0, np.int64),
        first_token_ns=first,
        most_in_flight=0,
        samples=len(first_ms),
        duration_ns=1,
        seen=SeenBlock(before=snapshot, after=snapshot, void_reasons=()),
    )


def test_prompt_and_tokens_after_the_first_are_apart() -> None:
    speed = summarize_text_speed([block(0, [320, 320, 320], [940, 940, 940])], GENERATION, 0)
    assert (speed.prompt_tokens, speed.new_tokens, speed.generations) == (64, 48, 3)
    assert speed.ttft_p50.value_ns == speed.ttft_p90.value_ns == 320 * MS
    assert speed.prefill_tokens_per_s == pytest.approx(64 / 0.320)
    # 47 tokens in 940 ms
    assert speed.decode_tokens_per_s == pytest.approx(50)


def test_the_interval_holds_the_median_and_is_one_of_rates() -> None:
    blocks = [
        block(0, [300, 310, 305], [900, 910, 905]),
        block(1, [330, 320, 325], [1000, 1010, 1005]),
        block(2, [310, 315, 320], [950, 955, 960]),
    ]
    speed = summarize_text_speed(blocks, GENERATION, 7)
    assert speed.generations == 9
    assert speed.decode_tokens_per_s == pytest.approx(47 / 0.955)
    # the slowest generation's rate lies within what other processes might have
    assert (
        speed.decode_ci95_low < 47 / 1.010 < speed.decode_tokens_per_s < 47 / 0.900 < speed.decode_ci95_high
    )
    assert speed.ttft_p50.value_ns == 315 * MS
    assert speed.ttft_p50.ci95_low_ns < 315 * MS < speed.ttft_p50.ci95_high_ns
    # nine of them can't say where a p90 ends
    assert not speed.ttft_p90.HasField("ci95_high_ns")


def test_one_token_has_no_decode_speed() -> None:
    single = variant_pb2.Generation(prompt_ids=[1, 2], new_tokens=1)
    speed = summarize_text_speed([block(0, [10, 10, 10], [0, 0, 0])], single, 0)
    assert (speed.decode_tokens_per_s, speed.decode_ci95_low, speed.decode_ci95_high) == (0, 0, 0)
    assert speed.prefill_tokens_per_s == pytest.approx(200)


class Counting(NullModel):
    """Its first tokens are numbered."""

    first_token_ns = 0

    def query(self) -> None:
        self.first_token_ns += 1

    def decode(self) -> None:
        raise AssertionError


@pytest.mark.parametrize(("untimed", "noted"), [(0, [1, 2, 3]), (2, [1, 4, 7])])
def test_first_tokens_are_those_of_timed_queries(untimed: int, noted: list[int]) -> None:
    stamps = FirstTokens(Counting())
    latencies = timed_queries(stamps, 3, 0, untimed)
    assert len(latencies) == len(noted)
    assert list(stamps.of_timed(untimed)) == noted


@pytest.mark.parametrize(
    ("generation", "sample_noun", "noun", "window_query_ns"),
    [
        (GENERATION, "token", "token", 20),
        (GENERATION, "", "token", 20),
        # what does not write takes windows of many tokens
        (None, "token", "inference", 1000),
        (None, "frame", "frame", 1000),
        (None, "", "inference", 1000),
    ],
)
def test_what_windows_run(
    generation: variant_pb2.Generation | None, sample_noun: str, noun: str, window_query_ns: int
) -> None:
    variant = engine_pb2.EngineVariant(generation=generation, sample_noun=sample_noun)
    record = VariantRecord(variant=variant, query_ns=1000, decode_ns=20)
    assert record.sample_noun == noun
    assert record.window_query_ns == window_query_ns
