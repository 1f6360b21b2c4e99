"""When fine-tuning does what: batches, learning rate, sparsity, and when to give up. Pure."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.exceptions import ConversionError

WARM_UP_SHARE = 0.05
"""Of all steps: the rate rises in them, so that Adam's first, badly estimated steps are small ones."""

LAST_RATE_SHARE = 0.01
"""Of the highest rate: what is left of it at the end."""

PRUNING_SHARE = 0.6
"""Of all steps: those in which sparsity rises; the rest lets the weights that stay recover."""

MASK_UPDATES = 50
"""How many times at most masks are chosen anew while sparsity rises (Zhu and Gupta: every 100 to 1,000 steps
of runs that are far longer than ours)."""


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Batches in an epoch: whole ones only, for batch normalization's sake; a single one where all
    samples are fewer."""
    return max(1, samples // batch_size)


def epoch_batches(samples: int, batch_size: int, seed: int, epoch: int) -> list[NDArray[np.int64]]:
    """Indices of each batch of an epoch (counted from 0), shuffled by seed and epoch alone: an epoch that is
    done again after a restart sees the same batches."""
    order = np.random.default_rng([seed, epoch]).permutation(samples)
    return [
        order[at * batch_size : (at + 1) * batch_size] for at in range(steps_per_epoch(samples, batch_size))
    ]


def learning_rate(step: int, total_steps: int, highest: float) -> float:
    """Of a step, counted from 0: a linear warm-up, then half a cosine (Loshchilov and Hutter,
    arXiv:1608.03983, without restarts)."""
    warm_up = math.ceil(WARM_UP_SHARE * total_steps)
    if step < warm_up:
        return highest * (step + 1) / warm_up
    share = (step - warm_up) / max(1, total_steps - warm_up)
    lowest = LAST_RATE_SHARE * highest
    return lowest + (highest - lowest) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))


def sparsity(step: int, total_steps: int, final: float) -> float:
    """Share of the weights that are zero after a step, counted from 0: final · (1 - (1 - t/T)³).

    Zhu and Gupta, arXiv:1710.01878, equation 1, from no sparsity at all; T is `PRUNING_SHARE` of the steps.
    """
    rising = max(1, math.floor(PRUNING_SHARE * total_steps))
    done = min(1.0, (step + 1) / rising)
    return final * (1 - (1 - done) ** 3)


def is_mask_step(step: int, total_steps: int) -> bool:
    """Whether masks are chosen anew after that step, counted from 0; they are for the last time when
    `sparsity` reaches its end."""
    rising = max(1, math.floor(PRUNING_SHARE * total_steps))
    return step + 1 == rising or (step + 1 < rising and (step + 1) % max(1, rising // MASK_UPDATES) == 0)


def check_loss(loss: float, epoch: int, highest_rate: float) -> None:
    """Nothing, for a loss that is a number.

    Args:
        epoch: counted from 0.
        highest_rate: the learning rate that was asked for.

    Raises:
        ConversionError: the loss is NaN or infinite.
    """
    if not math.isfinite(loss):
        raise ConversionError(
            f"fine-tuning diverged (loss {'NaN' if math.isnan(loss) else 'infinite'} in epoch {epoch + 1}): "
            f"lower lr={highest_rate:g}, nothing is kept"
        )


def words(epoch: int, epochs: int, loss: float) -> str:
    """What progress tells at the end of an epoch, counted from 0: "fine-tuning, epoch 2 of 5, loss 0.31"."""
    return f"fine-tuning, epoch {epoch + 1} of {epochs}, loss {loss:.3g}"


def smallest_mask(weights: NDArray[Any], share: float) -> NDArray[np.bool_]:
    """True where a weight stays: all but the `round(share · size)` of the smallest magnitude, exactly as
    many; the first ones of those that tie go first."""
    flat = np.abs(weights).reshape(-1)
    drop = np.argsort(flat, kind="stable")[: round(share * flat.size)]
    mask = np.ones(flat.size, dtype=np.bool_)
    mask[drop] = False
    return mask.reshape(weights.shape)


def n_of_m_mask(weights: NDArray[Any], axis: int, zeros: int, group: int) -> NDArray[np.bool_]:
    """True where a weight stays: of each `group` neighbours along `axis`, the `zeros` smallest go.

    As in Mishra et al., arXiv:2104.08378. A last group that is not whole is left alone.
    """
    moved = np.moveaxis(np.abs(weights), axis, -1)
    whole = moved.shape[-1] // group * group
    grouped = moved[..., :whole].reshape(*moved.shape[:-1], -1, group)
    rank = np.argsort(np.argsort(grouped, axis=-1, kind="stable"), axis=-1, kind="stable")
    mask = np.ones(moved.shape, dtype=np.bool_)
    mask[..., :whole] = (rank >= zeros).reshape(*moved.shape[:-1], whole)
    return np.moveaxis(mask, -1, axis)
