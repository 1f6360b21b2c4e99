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


Energy = result_pb2.Energy
VOID_ENERGY = Energy(
    status=result_pb2.ENERGY_STATUS_VOID,
    detail="the meter went silent",
    windows_voided=5,
    void_reasons={"meter_gap": 2, "meter_stuck": 3},
)
MEASURED = Energy(
    status=result_pb2.ENERGY_STATUS_MEASURED, windows_kept=4, windows_voided=1, void_reasons={"meter_gap": 1}
)


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
        # doubts of kept blocks degrade, and notes do not
        ({"doubts": [("near_trip", "x")]}, DEGRADED, ["near_trip"]),
        ({"notes": [("clock_stepped", "x")]}, VALID, ["clock_stepped"]),
        (
            {"notes": [("governor_not_set", "x")], "samples": 5},
            VALID,
            ["governor_not_set", "few_samples_p99"],
        ),
        # energy that is void speaks against energy; it was asked for, and is missing
        ({"energy": VOID_ENERGY}, DEGRADED, ["meter_stuck", "meter_gap"]),
        ({"energy": Energy(status=result_pb2.ENERGY_STATUS_VOID, detail="x")}, DEGRADED, ["energy_void"]),
        # lost windows that others made up for
        ({"energy": MEASURED}, VALID, ["meter_gap"]),
        ({"energy": Energy(status=result_pb2.ENERGY_STATUS_MEASURED)}, VALID, []),
        # none was asked for, or there is no meter: its status says so
        ({"energy": Energy(status=result_pb2.ENERGY_STATUS_NO_METER)}, VALID, []),
        ({"energy": Energy(status=result_pb2.ENERGY_STATUS_NOT_ASKED)}, VALID, []),
        # unless the plan can't do without
        ({"energy": MEASURED, "require_energy": True}, VALID, ["meter_gap"]),
        (
            {"energy": Energy(status=result_pb2.ENERGY_STATUS_NO_METER), "require_energy": True},
            VOID,
            ["energy_missing"],
        ),
        ({"require_energy": True}, VOID, ["energy_missing"]),
        (
            {"energy": VOID_ENERGY, "require_energy": True},
            VOID,
            ["energy_missing", "meter_stuck", "meter_gap"],
        ),
        # a variant that failed has no energy for a better reason
        ({"failure": ("crashed", "x"), "require_energy": True}, VOID, ["crashed"]),
        # a server that could not keep up: a note, its latencies are real
        ({"serving": result_pb2.Serving(bound_held=False, achieved_qps=100)}, VALID, ["bound_not_held"]),
        ({"serving": result_pb2.Serving(bound_held=True)}, VALID, []),
        ({"serving": result_pb2.Serving()}, VALID, []),
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


def test_what_was_seen_and_that_the_numbers_are_void_is_in_the_detail() -> None:
    facts = {**GOOD, "blocks_kept": 0, "void_reasons": {"throttled": 16, "steal": 2}}
    verdict = decide(Facts(**facts, evidence={"throttled": "get_throttled 0x4"}))
    assert [reason.detail for reason in verdict.reasons] == [
        "voided 16 blocks; 0 of 12 blocks could be kept, the numbers are of voided ones: get_throttled 0x4",
        "voided 2 blocks; 0 of 12 blocks could be kept, the numbers are of voided ones",
    ]


def test_energy_is_told_with_its_windows() -> None:
    verdict = decide(Facts(**GOOD, energy=VOID_ENERGY))
    assert verdict.reasons[0].detail == "voided 3 of 5 energy windows; latency stands: the meter went silent"
    verdict = decide(Facts(**GOOD, energy=MEASURED))
    assert verdict.reasons[0].detail == "voided 1 of 5 energy windows; energy is of the others"
    verdict = decide(Facts(**GOOD, energy=Energy(detail="no meter on this board"), require_energy=True))
    assert verdict.reasons[0].detail == "the plan requires energy: no meter on this board"


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
