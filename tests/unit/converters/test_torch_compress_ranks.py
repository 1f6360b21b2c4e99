"""How much of a layer low-rank factors keep."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters.compress.torch.ranks import rank_of, ranks_of

FLAT = [1.0] * 64
FALLING = [2.0**-at for at in range(64)]


@pytest.mark.parametrize(
    ("budget", "rank"),
    [
        (0.5, 16),  # 16 · (64 + 64) = half of 64 · 64
        (0.49, 15),
        (0.001, 1),  # never none
        (0.99, 31),
    ],
)
def test_rank_within_a_budget(budget: float, rank: int) -> None:
    assert rank_of(FLAT, 64, 64, budget=budget, energy=None) == rank


@pytest.mark.parametrize(
    ("values", "energy", "rank"),
    [
        (FALLING, 0.7, 1),  # the first has 3/4 of all squares
        (FALLING, 0.75, 1),
        (FALLING, 0.9, 2),
        (FALLING, 0.999, 5),
        (FLAT, 0.25, 16),
        (FLAT, 0.9, None),  # 58 · 128 are more than 64 · 64
    ],
)
def test_rank_that_keeps_energy(values: list[float], energy: float, rank: int | None) -> None:
    assert rank_of(values, 64, 64, budget=0.5, energy=energy) == rank


def test_a_row_has_no_smaller_factors() -> None:
    assert rank_of([1.0], 1, 100, budget=0.5, energy=None) is None


@given(
    inputs=st.integers(1, 40),
    outputs=st.integers(1, 40),
    kernel=st.sampled_from([3, 9, 25]),
    budget=st.floats(0.05, 0.95),
)
def test_ranks_of_a_convolution_keep_to_the_budget(
    inputs: int, outputs: int, kernel: int, budget: float
) -> None:
    ranks = ranks_of(
        FALLING[:inputs],
        FALLING[:outputs],
        inputs=inputs,
        outputs=outputs,
        kernel=kernel,
        budget=budget,
        energy=None,
    )
    if ranks is not None:
        first, second = ranks
        assert 1 <= first <= inputs
        assert 1 <= second <= outputs
        size = inputs * first + first * second * kernel + second * outputs
        assert size <= budget * inputs * outputs * kernel


def test_rank_goes_where_the_energy_is() -> None:
    flat, falling = [1.0] * 32, FALLING[:32]
    first, second = ranks_of(flat, falling, inputs=32, outputs=32, kernel=9, budget=0.5, energy=None) or (
        0,
        0,
    )
    assert first == 32
    assert second < 16


def test_ranks_that_keep_energy() -> None:
    ranks = ranks_of(FALLING[:32], FALLING[:32], inputs=32, outputs=32, kernel=9, budget=0.5, energy=0.9)
    # Each mode may lose a twentieth: 1/16 is left after two values, 1/64 after three.
    assert ranks == (3, 3)
    assert ranks_of([1.0] * 32, [1.0] * 32, inputs=32, outputs=32, kernel=9, budget=0.5, energy=0.99) is None
