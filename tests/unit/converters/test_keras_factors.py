from __future__ import annotations

import numpy as np
import pytest

from edgemeter_converters.compress.keras import factors

KERNEL = np.random.default_rng(1).normal(size=(3, 3, 8, 12)).astype(np.float32)


def product(kernel: np.ndarray, ranks: tuple[int, int]) -> np.ndarray:
    first, core, last = factors.tucker2(kernel, *ranks)
    assert (first.shape, core.shape, last.shape) == (
        (kernel.shape[-2], ranks[0]),
        (*kernel.shape[:-2], *ranks),
        (ranks[1], kernel.shape[-1]),
    )
    return first @ core @ last


def test_full_rank_is_exact() -> None:
    assert product(KERNEL, (8, 12)) == pytest.approx(KERNEL, abs=1e-6)
    left, right = factors.svd(KERNEL[0, 0], 8)
    assert left @ right == pytest.approx(KERNEL[0, 0], abs=1e-6)


def test_a_kernel_of_low_rank_is_found_again() -> None:
    random = np.random.default_rng(2)
    kernel = random.normal(size=(8, 2)) @ random.normal(size=(5, 2, 3)) @ random.normal(size=(3, 12))
    assert product(kernel, (2, 3)) == pytest.approx(kernel, abs=1e-9)
    assert np.abs(product(kernel, (2, 2)) - kernel).max() > 0.1


def test_more_ranks_are_nearer_and_sweeps_beat_truncation() -> None:
    errors = [float(np.linalg.norm(product(KERNEL, (rank, rank)) - KERNEL)) for rank in (2, 4, 6, 8)]
    assert errors == sorted(errors, reverse=True)
    lost = [sum(v**2 for v in factors.singular_values(KERNEL, axis)[4:]) for axis in (-2, -1)]
    # De Lathauwer et al., property 10: the truncated start loses at most this.
    assert errors[1] ** 2 <= sum(lost)
    truncated = KERNEL.astype(float)
    for axis in (-2, -1):
        moved = np.moveaxis(truncated, axis, 0)
        vectors = np.linalg.svd(moved.reshape(moved.shape[0], -1), full_matrices=False)[0][:, :4]
        truncated = np.moveaxis(np.tensordot(vectors @ vectors.T, moved, 1), 0, axis)
    assert errors[1] <= float(np.linalg.norm(truncated - KERNEL))


def test_svd_is_the_nearest_of_its_rank() -> None:
    matrix = KERNEL[0, 0].astype(float)
    left, right = factors.svd(matrix, 3)
    values = np.linalg.svd(matrix, compute_uv=False)
    assert np.linalg.norm(left @ right - matrix) == pytest.approx(np.sqrt((values[3:] ** 2).sum()))
    # Evenly split: training moves both factors alike.
    assert np.linalg.norm(left) == pytest.approx(np.linalg.norm(right))
