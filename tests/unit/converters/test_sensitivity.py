from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters.sensitivity import by_sensitivity, fewest_kept


def test_the_most_sensitive_come_first_and_ties_keep_their_order() -> None:
    assert by_sensitivity({"a": 0.1, "b": 0.5, "c": 0.1, "d": 0.2}) == ("b", "d", "a", "c")


@given(st.integers(1, 200), st.integers(0, 201))
def test_keeps_no_layer_more_than_it_takes_with_few_trials(layers: int, needed: int) -> None:
    names = [f"layer{at}" for at in range(layers)]
    trials: list[int] = []

    def drop(keep: tuple[str, ...]) -> float:
        assert list(keep) == names[: len(keep)]
        trials.append(len(keep))
        return 0.0 if len(keep) >= needed else 1.0

    kept = fewest_kept(names, drop, bound=0.5)
    assert kept == (tuple(names[:needed]) if needed <= layers else None)
    assert len(trials) <= 2 * math.log2(layers + 1) + 3


def test_nothing_is_kept_where_nothing_is_lost() -> None:
    assert fewest_kept(["a"], lambda keep: 0.004, bound=0.005) == ()
