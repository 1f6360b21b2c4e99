from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.verdict import Facts, decide
from edgemeter_protos.v1 import result_pb2

VALID = result_pb2.VERDICT_STATE_VALID
DEGRADED = result_pb2.VERDICT_STATE_DEGRADED
VOID = result_pb2.VERDICT_STATE_VOID

GOOD: dict[str, Any] = {"blocks_planned": 12, "blocks_kept": 12, "samples": 1200, "interval_share": 0.02}


@pytest.mark.parametrize(
    ("facts", "state", "codes"),
    [
        ({}, VALID, []),
        # voided blocks that were made up for leave nothing behind
        ({"void_reasons": {"contention": 3}}, VALID, []),
        # a note limits p99, not the verdict
        ({"samples": 661}, VALID, ["few_samples_p99"]),
        ({"samples": 662}, VALID, []),
        # blocks that could not be made up for
        ({"blocks_kept": 11, "void_reasons": {"contention": 5}}, DEGRADED, ["contention"]),
        # half of them is the limit
        (
            {"blocks_kept": 6, "void_reasons": {"steal": 5, "contention": 7}},
            DEGRADED,
            ["contention", "steal"],
        ),
        ({"blocks_kept": 5, "void_reasons": {"throttled": 11}}, VOID, ["throttled"]),
        (
            {"blocks_kept": 0, "void_reasons": {"throttled": 16}, "interval_share": 0.5},
            VOID,
            ["throttled", "wide_interval"],
        ),
        # an odd number: 2 of 3 are more than half, 1 of 3 is less
        ({"blocks_planned": 3, "blocks_kept": 2}, DEGRADED, ["blocks_voided"]),
        ({"blocks_planned": 3, "blocks_kept": 1}, VOID, ["blocks_voided"]),
        # the interval
        ({"interval_share": 0.10}, VALID, []),
        ({"interval_share": 0.11}, DEGRADED, ["wide_interval"]),
        ({"started_hot": True}, DEGRADED, ["hot"]),
        ({"evaluation_failure": ("evaluation_failed", "x")}, DEGRADED, ["evaluation_failed"]),
        # timings of an emulator mean nothing, however steady
        ({"emulated_because": "qemu"}, VOID, ["emulated"]),
        # failures; the blocks that are missing are its consequence and no reason of their own
        (
            {"failure": ("golden_mismatch", "x"), "blocks_kept": 0, "samples": 0, "interval_share": None},
            VOID,
            ["golden_mismatch"],
        ),
        ({"failure": ("crashed", "SIGKILL"), "blocks_kept": 7, "samples": 700}, VOID, ["crashed"]),
        # worst first
        (
            {"emulated_because": "qemu", "failure": ("crashed", "x"), "started_hot": True, "samples": 5},
            VOID,
            ["crashed", "emulated", "hot", "few_samples_p99"],
        ),
    ],
)
def test_states_and_reasons(facts: dict[str, Any], state: int, codes: list[str]) -> None:
    verdict = decide(Facts(**{**GOOD, **facts}))
    assert (verdict.state, [reason.code for reason in verdict.reasons]) == (state, codes)
    assert all(reason.detail for reason in verdict.reasons)


def test_voided_blocks_are_counted_in_the_detail() -> None:
    verdict = decide(Facts(**{**GOOD, "blocks_kept": 5, "void_reasons": {"contention": 11}}))
    assert verdict.reasons[0].detail == "voided 11 blocks; 5 of 12 blocks could be kept"


@given(
    planned=st.integers(1, 100),
    kept=st.integers(0, 100),
    samples=st.integers(0, 10**6),
    share=st.one_of(st.none(), st.floats(0, 10)),
    hot=st.booleans(),
    emulated=st.one_of(st.none(), st.just("qemu")),
)
def test_only_a_valid_verdict_may_lack_reasons_and_fewer_blocks_never_help(
    planned: int, kept: int, samples: int, share: float | None, hot: bool, emulated: str | None
) -> None:
    def state(blocks_kept: int) -> int:
        verdict = decide(
            Facts(
                blocks_planned=planned, blocks_kept=blocks_kept, samples=samples, interval_share=share,
                started_hot=hot, emulated_because=emulated,
            )
        )  # fmt: skip
        assert verdict.state == VALID or verdict.reasons
        return verdict.state

    kept = min(kept, planned)
    assert VALID < DEGRADED < VOID
    assert state(kept) >= state(planned)
