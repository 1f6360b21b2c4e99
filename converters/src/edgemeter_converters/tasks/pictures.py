"""Pictures as outputs: their values, their layout, and how far two of them are apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from edgemeter_converters.steps.parameter import Kind, Parameter
from edgemeter_converters.tasks import quality
from edgemeter_protos.v1 import variant_pb2

RANGES = {"unit": (0.0, 1.0), "symmetric": (-1.0, 1.0), "byte": (0.0, 255.0)}
"""What values stand for black and white."""

RANGE = Parameter(
    name="range",
    kind=Kind.CHOICE,
    positional=True,
    default="unit",
    choices=tuple(RANGES),
    help="values of black and white: unit (0 to 1), symmetric (-1 to 1), byte (0 to 255)",
)

MAX_PSNR_DB = 100.0
"""What a picture with less noise than this counts with: an error of 1e-5 of the range is rounding in float32,
and that of pictures that do not differ at all would be infinite."""

WINDOW, SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03
"""SSIM's: the side of its Gaussian window in pixels, that window's standard deviation, and its constants."""

_CHANNELS = (1, 3)
_SLACK, _OUTSIDE = 0.05, 0.05
"""By which share of the range a value may lie outside of it, and which share of the original's values
may lie farther out: a model that ends without a bound has some there, one of another range half of them."""


def picture_shaped(shape: Sequence[int]) -> bool:
    """Whether outputs (batch, height, width, channels) or (batch, channels, height, width) are like this."""
    return len(shape) == 4 and (shape[3] in _CHANNELS or shape[1] in _CHANNELS)


def labels_misfit(labels: variant_pb2.TensorSpec, task: str) -> str:
    """`Task.misfit` of a task whose labels are pictures."""
    fits = picture_shaped((-1, *labels.shape)) and np.dtype(labels.dtype).kind in "fu"
    if fits and (np.dtype(labels.dtype).kind == "f" or labels.dtype == "uint8"):
        return ""
    return (
        f"the labels are {labels.dtype} of shape {tuple(labels.shape)} a sample, {task} wants pictures: "
        "(height, width, channels), uint8 or float32"
    )


def from_outputs(values: NDArray[Any], range_: str, whose: str) -> NDArray[np.float32]:
    """(samples, height, width, 1 or 3), 0 to 1: what is darker than black or lighter than white is cut, as
    whatever shows the picture does.

    Raises:
        ValueError: no pictures, or not numbers; `whose` says whose.
    """
    if not picture_shaped(values.shape) or values.size == 0:
        raise ValueError(
            f"{whose} have shape {values.shape}, wanted pictures (samples, height, width, channels) or "
            "(samples, channels, height, width) with 1 or 3 channels"
        )
    if values.shape[3] not in _CHANNELS:
        values = values.transpose(0, 2, 3, 1)
    if not np.isfinite(values).all():
        raise ValueError(f"{whose} hold values that are not numbers (NaN or infinite)")
    black, white = RANGES[range_]
    scaled = (values.astype(np.float32) - np.float32(black)) / np.float32(white - black)
    return np.asarray(np.clip(scaled, 0, 1))


def from_labels(values: NDArray[Any], range_: str) -> NDArray[np.float32]:
    """As `from_outputs`; of bytes, whatever the outputs' range, black is 0 and white is 255."""
    return from_outputs(values, "byte" if values.dtype == np.uint8 else range_, "the labels")


def check_range(original: NDArray[Any], range_: str, task: str) -> None:
    """Raises ValueError where the original's own values say that the range is another one."""
    low, high = float(original.min()), float(original.max())
    black, white = RANGES[range_]
    slack = _SLACK * (white - black)
    outside = np.mean((original < black - slack) | (original > white + slack))
    too_dark = range_ == "byte" and high <= 1.5
    if outside > _OUTSIDE or too_dark:
        others = ", ".join(f"{name} ({a:g} to {b:g})" for name, (a, b) in RANGES.items() if name != range_)
        raise ValueError(
            f"the original's pictures hold values from {low:.3g} to {high:.3g}, {task} wants {black:g} to "
            f"{white:g}: name the range that they have, {others}"
        )


def fidelity(
    against: str, pictures: NDArray[np.float32], others: NDArray[np.float32]
) -> list[variant_pb2.Quality]:
    """`psnr`, `ssim` and `mse` of pictures against those that they stand for, as `from_outputs` gives them:
    means over pictures, with Student's t; `ssim` only of pictures that its window fits in."""
    if pictures.shape != others.shape:
        raise ValueError(
            f"pictures of shape {pictures.shape}, but those of the {against} have {others.shape}"
        )
    squared = mse(pictures, others)
    found = [quality.mean("psnr", against, psnr(squared), high=MAX_PSNR_DB)]
    if (similar := ssim(pictures, others)) is not None:
        found.append(quality.mean("ssim", against, similar, low=-1, high=1))
    found.append(quality.mean("mse", against, squared, lower_is_better=True, low=0))
    return found


def mse(pictures: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """The mean squared difference of each picture from the other, where white is 1: (samples,)."""
    return np.array(
        [np.mean((one.astype(np.float64) - other) ** 2) for one, other in zip(pictures, others, strict=True)]
    )


def psnr(mean_squared: NDArray[np.float64]) -> NDArray[np.float64]:
    """The ratio of white to the root of `mse`, in dB, at most `MAX_PSNR_DB`."""
    least = 10 ** (-MAX_PSNR_DB / 10)
    return np.asarray(-10 * np.log10(np.maximum(mean_squared, least)))


def ssim(pictures: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64] | None:
    """The structural similarity of each picture to the other: the mean over channels, and over places where
    the window lies within the picture. 1 where they are the same; None where the window is larger than they.

    Z. Wang, A. C. Bovik, H. R. Sheikh, E. P. Simoncelli, Image quality assessment: from error visibility to
    structural similarity, IEEE Transactions on Image Processing 13 (2004).
    """
    if min(pictures.shape[1:3]) < WINDOW:
        return None
    return np.array([_ssim(one, other) for one, other in zip(pictures, others, strict=True)])


def _ssim(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    x, y = one.astype(np.float64), other.astype(np.float64)
    mean_x, mean_y = _blurred(x), _blurred(y)
    variances = _blurred(x * x + y * y) - mean_x**2 - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + K1**2) / (mean_x**2 + mean_y**2 + K1**2)
    structure = (2 * covariance + K2**2) / (variances + K2**2)
    return float(np.mean(luminance * structure))


def _blurred(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each place's mean under the Gaussian window, (height - 10, width - 10, channels)."""
    places = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(places**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    rows = sliding_window_view(picture, WINDOW, axis=0) @ weights
    return np.asarray(sliding_window_view(rows, WINDOW, axis=1) @ weights)
