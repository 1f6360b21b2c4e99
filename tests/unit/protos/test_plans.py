from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_protos import plans
from edgemeter_protos.v1 import plan_pb2


@pytest.mark.parametrize("profile", plans.PROFILES)
def test_every_number_of_a_profile_is_resolved(profile: str) -> None:
    plan = plans.resolve(profile)
    may_be_zero = {"seed", "quality_samples"}
    unset = {
        field.name
        for field in plan_pb2.Plan.DESCRIPTOR.fields
        if not getattr(plan, field.name) and field.name not in may_be_zero
    }
    assert not unset
    assert plan.profile == profile


@pytest.mark.parametrize("profile", ["standard", "publication"])
def test_enough_queries_for_a_99th_percentile(profile: str) -> None:
    plan = plans.resolve(profile)
    assert plan.processes * plan.blocks * plan.block_min_queries >= 662


def test_publication_runs_as_long_as_loadgen() -> None:
    plan = plans.resolve("publication")
    assert plan.processes * plan.blocks * plan.block_min_duration_ns >= 600 * plans.SECOND_NS


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "threads": st.integers(1, 64),
            "blocks": st.integers(1, 100),
            "seed": st.integers(0, 2**64 - 1),
            "warmup_min_queries": st.integers(0, 1000),
            "block_min_duration_ns": st.integers(0, 10**12),
        },
    )
)
def test_overrides_replace_and_nothing_else_changes(overrides: dict[str, int]) -> None:
    plan = plans.resolve("quick", **overrides)
    expected = plans.resolve("quick")
    for name, value in overrides.items():
        setattr(expected, name, value)
    assert plan == expected


@pytest.mark.parametrize(
    ("profile", "overrides", "message"),
    [
        # a profile that is not there
        ("fast", {}, "no profile is called 'fast'; there are quick, standard, publication"),
        # a number that is not there, with the nearest
        ("quick", {"block": 3}, "did you mean blocks?"),
        # the profile's name is no number
        ("quick", {"profile_name": 1}, "a plan has no number called 'profile_name'"),
        # nothing to measure
        ("quick", {"blocks": 0}, "blocks is 0; it must be from 1"),
        ("quick", {"threads": -1}, "threads is -1"),
        # beyond the field
        ("quick", {"threads": 2**32}, "threads is 4294967296"),
        ("quick", {"seed": 2**64}, "seed is 18446744073709551616"),
        # not a whole number
        ("quick", {"blocks": 2.5}, "blocks is a whole number, not 2.5"),
        ("quick", {"blocks": True}, "blocks is a whole number, not True"),
    ],
)
def test_refusals_say_what_is_wrong(profile: str, overrides: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        plans.resolve(profile, **overrides)
