from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.training import schedule


@given(samples=st.integers(1, 500), batch=st.integers(1, 100), seed=st.integers(0, 2**31 - 1))
def test_an_epoch_sees_samples_at_most_once_in_whole_batches(samples: int, batch: int, seed: int) -> None:
    batches = schedule.epoch_batches(samples, batch, seed, epoch=3)
    seen = np.concatenate(batches)
    assert len(batches) == schedule.steps_per_epoch(samples, batch)
    assert {len(each) for each in batches} == {min(batch, samples)}
    assert len(np.unique(seen)) == len(seen)
    assert set(seen) <= set(range(samples))


def test_an_epoch_is_shuffled_by_its_seed_and_number_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return list(np.concatenate(schedule.epoch_batches(64, 8, seed, epoch)))

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)
    assert order(1, 2) != sorted(order(1, 2))


@given(total=st.integers(1, 2000))
def test_the_learning_rate_rises_to_what_was_asked_for_and_falls(total: int) -> None:
    rates = [schedule.learning_rate(step, total, 0.1) for step in range(total)]
    top = int(np.argmax(rates))
    assert rates[top] == pytest.approx(0.1)
    assert top <= math.ceil(schedule.WARM_UP_SHARE * total)
    assert all(one < two for one, two in pairwise(rates[:top]))
    assert all(one >= two for one, two in pairwise(rates[top:]))
    assert min(rates) >= 0.1 * schedule.LAST_RATE_SHARE * 0.999


@given(total=st.integers(1, 2000), final=st.floats(0.01, 0.99))
def test_sparsity_rises_to_its_end_and_is_set_by_a_mask_step_there(total: int, final: float) -> None:
    shares = [schedule.sparsity(step, total, final) for step in range(total)]
    assert all(one <= two for one, two in pairwise(shares))
    assert shares[-1] == final
    at_masks = [shares[step] for step in range(total) if schedule.is_mask_step(step, total)]
    assert at_masks[-1] == final
    assert len(at_masks) <= 2 * schedule.MASK_UPDATES


def test_sparsity_is_zhu_and_guptas() -> None:
    # T is 60 of 100 steps; half way through it an eighth of the way is left.
    assert schedule.sparsity(29, 100, 0.8) == pytest.approx(0.8 * (1 - 0.5**3))


@pytest.mark.parametrize(("loss", "told"), [(math.nan, "NaN"), (math.inf, "infinite")])
def test_a_loss_that_is_no_number_ends_it(loss: float, told: str) -> None:
    with pytest.raises(ConversionError) as caught:
        schedule.check_loss(loss, 1, 0.5)
    assert caught.value.message == (
        f"fine-tuning diverged (loss {told} in epoch 2): lower lr=0.5, nothing is kept"
    )


def test_a_loss_that_is_a_number_goes_on() -> None:
    schedule.check_loss(1e30, 0, 0.5)


def test_words() -> None:
    assert schedule.words(1, 5, 0.3125) == "fine-tuning, epoch 2 of 5, loss 0.312"


@given(
    weights=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60),
    share=st.floats(0, 1),
)
def test_the_smallest_weights_go_and_exactly_as_many_as_asked(weights: list[float], share: float) -> None:
    values = np.array(weights)
    mask = schedule.smallest_mask(values, share)
    assert np.count_nonzero(~mask) == round(share * len(weights))
    if mask.any() and not mask.all():
        assert np.abs(values[~mask]).max() <= np.abs(values[mask]).min()


def test_two_of_four_go_along_the_axis() -> None:
    weights = np.array([[4.0, 1, 3, 2, 9], [1, -8, 0, 7, 9]])
    along_rows = [[True, False, True, False, True], [False, True, False, True, True]]
    assert schedule.n_of_m_mask(weights, 1, 2, 4).tolist() == along_rows
    assert schedule.n_of_m_mask(weights.T, 0, 2, 4).T.tolist() == along_rows
    # Only a group that is whole loses any.
    assert schedule.n_of_m_mask(weights, 0, 2, 4).all()


@given(seed=st.integers(0, 1000), axis=st.integers(0, 3))
def test_n_of_m_holds_in_every_group_of_a_kernel(seed: int, axis: int) -> None:
    weights = np.random.default_rng(seed).normal(size=(4, 8, 12, 4))
    mask = schedule.n_of_m_mask(weights, axis, 1, 4)
    groups = np.moveaxis(mask, axis, -1).reshape(-1, 4)
    assert (groups.sum(axis=1) == 3).all()
