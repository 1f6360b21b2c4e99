from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgemeter_agent.link import backoff


@given(failures=st.integers(0, 10**6), chance=st.floats(0, 1, exclude_max=True))
def test_a_delay_is_bounded_and_never_zero(failures: int, chance: float) -> None:
    assert backoff.FLOOR_NS <= backoff.delay_ns(failures, chance) <= backoff.CAP_NS


@given(failures=st.integers(0, 20), chance=st.floats(0, 1, exclude_max=True))
def test_it_grows_with_failures(failures: int, chance: float) -> None:
    assert backoff.delay_ns(failures, chance) <= backoff.delay_ns(failures + 1, chance)


def test_a_crowd_is_spread_over_the_whole_delay() -> None:
    delays = [backoff.delay_ns(4, chance / 10) for chance in range(10)]
    assert delays[0] == backoff.FLOOR_NS
    assert delays[9] > 0.85 * min(backoff.CAP_NS, backoff.BASE_NS * 16)


@given(chance=st.floats(0, 1, exclude_max=True))
def test_a_slow_delay_is_within_its_half(chance: float) -> None:
    assert backoff.SLOW_NS // 2 <= backoff.slow_delay_ns(chance) <= backoff.SLOW_NS
