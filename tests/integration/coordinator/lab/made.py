"""A module and data that functions make, as a user's package would."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def net() -> tuple[Any, Any]:
    """Four numbers to three classes; the same weights each time."""
    import torch

    torch.manual_seed(1)
    return torch.nn.Linear(4, 3), torch.zeros(1, 4)


def splits() -> dict[str, NDArray[Any]]:
    """60 samples to train with, 20 to evaluate with."""
    random = np.random.default_rng(1)
    x = random.normal(size=(80, 4)).astype(np.float32)
    y = random.integers(0, 3, 80)
    return {"x_train": x[:60], "y_train": y[:60], "x_test": x[60:], "y_test": y[60:]}
