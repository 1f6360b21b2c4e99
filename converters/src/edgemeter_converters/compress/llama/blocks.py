"""A model's decoder blocks, one after the other, on windows of text: what goes into each and into its layers.

Each block is given what the blocks before it leave, compressed as they are by then, so that it may make up
for what those lost (Frantar et al., GPTQ, arXiv:2210.17323, section 4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgemeter_converters.datasets.dataset import Samples
from edgemeter_converters.exceptions import ConversionError
from edgemeter_protos.v1 import refusal_pb2

CALIBRATION_WINDOWS = 32
"""Of 256 tokens each: some 8,000 tokens, for matrices of up to a few thousand columns."""

BATCH_WINDOWS = 4
"""At a time: the values within a block are some ten times what goes in."""

_DAMPING = 0.01
"""Of the mean of a Gram matrix's diagonal, added to it: GPTQ's (section 3.3), against directions that the
windows never showed."""


@dataclass(frozen=True, kw_only=True)
class Stream:
    """What goes into a block.

    Attributes:
        hidden: (windows, tokens, hidden size), batch by batch.
        beside: the other arguments of a block's call, by batch: masks and positions, the same for all blocks.
    """

    hidden: tuple[Any, ...]
    beside: tuple[Mapping[str, Any], ...]

    def after(self, block: Any) -> Stream:
        """What leaves the block."""
        with torch.inference_mode():
            left = tuple(
                _tensor(block(each, **beside)) for each, beside in zip(self.hidden, self.beside, strict=True)
            )
        return Stream(hidden=left, beside=self.beside)


class _Entered(Exception):
    """The first block was reached: what follows is of no interest."""


def entering(module: Any, windows: NDArray[Any]) -> Stream:
    """What goes into the first block.

    Args:
        windows: token ids, (windows, tokens).
    """
    hidden: list[Any] = []
    beside: list[Mapping[str, Any]] = []

    def caught(_block: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        keywords = dict(keywords)
        hidden.append(arguments[0] if arguments else keywords.pop("hidden_states"))
        beside.append(keywords)
        raise _Entered

    hook = module.model.layers[0].register_forward_pre_hook(caught, with_kwargs=True)
    try:
        for first in range(0, len(windows), BATCH_WINDOWS):
            ids = torch.from_numpy(windows[first : first + BATCH_WINDOWS].astype(np.int64))
            try:
                with torch.inference_mode():
                    module.model(input_ids=ids, use_cache=False)
            except _Entered:
                continue
    finally:
        hook.remove()
    return Stream(hidden=tuple(hidden), beside=tuple(beside))


def linears(block: Any) -> dict[str, Any]:
    """A block's dense layers by their names within it: "mlp.down_proj"."""
    return {name: each for name, each in block.named_modules() if isinstance(each, nn.Linear)}


@contextmanager
def grams(layers: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """While this lasts: by a layer's name the Gram matrix XᵀX of all that it is given, (inputs, inputs)."""
    found: dict[str, Any] = {}
    hooks = [layer.register_forward_pre_hook(_adds(found, name)) for name, layer in layers.items()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def _adds(found: dict[str, Any], name: str) -> Any:
    def add(_layer: Any, arguments: tuple[Any, ...]) -> None:
        rows = arguments[0].reshape(-1, arguments[0].shape[-1]).float()
        product = (rows.T @ rows).double()
        found[name] = found[name] + product if name in found else product

    return add


def damped(gram: Any, share: float = _DAMPING) -> Any:
    """The matrix with so much of its diagonal's mean added to this that it can be inverted, float64."""
    diagonal = gram.diagonal().mean()
    if not diagonal > 0:
        return torch.eye(len(gram), dtype=torch.float64)
    return gram + share * diagonal * torch.eye(len(gram), dtype=torch.float64)


def calibration_windows(training: Samples | None, vocabulary: int, seed: int, step: str) -> NDArray[Any]:
    """Up to CALIBRATION_WINDOWS of the training windows, seeded: token ids, (windows, tokens).

    Raises:
        ConversionError: there are none, or they are another tokenizer's.
    """
    windows = training_windows(training, vocabulary, step)
    # RandomState: its stream is frozen for good (NEP 19).
    order = np.random.RandomState(seed % 2**32).permutation(len(windows))
    return windows[np.sort(order[:CALIBRATION_WINDOWS])]


def training_windows(training: Samples | None, vocabulary: int, step: str) -> NDArray[Any]:
    """The token ids of all training windows, (windows, tokens).

    Raises:
        ConversionError: as `calibration_windows`.
    """
    if training is None or len(training) == 0:
        raise ConversionError(
            f"{step}: it looks at training windows of text: give data",
            reason=refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
        )
    windows: NDArray[Any] = training.inputs[0]
    highest = int(windows.max())
    if highest >= vocabulary:
        raise ConversionError(
            f"{step}: the data holds token {highest}, and the model knows 0 to {vocabulary - 1}: cut the "
            "text with the model's own tokenizer",
            reason=refusal_pb2.REFUSAL_REASON_SHAPE_MISMATCH,
        )
    return windows


def _tensor(left: Any) -> Any:
    return left[0] if isinstance(left, tuple) else left
