"""Single weights of a language model's dense layers become zero.

By weights times values, row by row, where there is text to look at (Sun et al., Wanda, arXiv:2306.11695), and
by the weights' magnitude where there is none. The tokens' matrix is left whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgemeter_converters.compress.llama import blocks
from edgemeter_converters.compress.llama.modules import transformed, writable
from edgemeter_converters.compress.llama.tuning import fine_tune
from edgemeter_converters.compress.torch.layers import Weight
from edgemeter_converters.compress.torch.zeros import Masks
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps.call import Ratio
from edgemeter_converters.steps.transform import Context, Transformed
from edgemeter_converters.training import schedule

GAINS_NOTHING = (
    "Zeros among the weights make no GGUF smaller and no runtime for language models faster: prune-layers "
    "and prune-width do both."
)


def apply(model: LoadedModel, context: Context) -> Transformed:
    """A model of the same shape, some of whose weights are exactly zero, and stayed so in fine-tuning.

    Raises:
        ConversionError: no layer has groups of so many inputs, or fine-tuning failed.
    """
    sparsity = context.arguments["sparsity"]
    assert isinstance(sparsity, float | Ratio)
    module = writable(model)
    stream = None
    if context.training is not None:
        windows = blocks.calibration_windows(
            context.training, module.config.vocab_size, context.seed, "prune"
        )
        stream = blocks.entering(module, windows)
    held: list[Weight] = []
    kept: dict[str, Any] = {}
    layers = module.model.layers
    for number, block in enumerate(layers):
        context.progress(number / len(layers), f"pruning layer {number + 1} of {len(layers)}")
        found: dict[str, Any] = {}
        if stream is not None:
            with blocks.grams(blocks.linears(block)) as found:
                stream.after(block)
        dense: list[Weight] = []
        for name, layer in blocks.linears(block).items():
            path = f"model.layers.{number}.{name}"
            dense.append(Weight(name=f"{path}.weight", layer=path, parameter=layer.weight))
            scores = _scores(layer.weight.detach(), found.get(name))
            kept[f"{path}.weight"] = torch.from_numpy(mask(scores, sparsity, by_row=stream is not None))
        Masks(dense, kept).apply()
        held += dense
        if stream is not None:
            stream = stream.after(block)
    for each in held:
        each.parameter.requires_grad_(True)
    history = fine_tune(module, context, "prune", hold=Masks(held, kept))
    return Transformed(
        model=transformed(model, module),
        epochs=history.epochs,
        first_loss=history.first_loss,
        last_loss=history.last_loss,
        notes=(*history.notes, GAINS_NOTHING),
    )


def mask(scores: NDArray[Any], sparsity: float | Ratio, *, by_row: bool) -> NDArray[np.bool_]:
    """True where a weight stays. Pure.

    Args:
        scores: (outputs, inputs), the least of which go.
        by_row: whether each output loses the same share of its inputs.

    Raises:
        ConversionError: fewer inputs than a group has.
    """
    if isinstance(sparsity, Ratio):
        if scores.shape[1] < sparsity.out_of:
            raise ConversionError(
                f"prune({sparsity.of}:{sparsity.out_of}): a layer has {scores.shape[1]} inputs only"
            )
        return schedule.n_of_m_mask(scores, 1, sparsity.of, sparsity.out_of).copy()
    if not by_row:
        return schedule.smallest_mask(scores, sparsity)
    return np.stack([schedule.smallest_mask(row, sparsity) for row in scores])


def _scores(weight: Any, gram: Any | None) -> NDArray[Any]:
    scores = weight.double().abs()
    if gram is not None:
        scores = scores * gram.diagonal().clamp_min(0).sqrt()
    return np.asarray(scores.numpy())
