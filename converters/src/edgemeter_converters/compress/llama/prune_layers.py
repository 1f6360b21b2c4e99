"""Whole decoder blocks go: those that change least what passes through them."""

from __future__ import annotations

from typing import Any

from torch import nn

from edgemeter_converters.compress.llama.blocks import calibration_windows
from edgemeter_converters.compress.llama.influence import block_influence, least
from edgemeter_converters.compress.llama.modules import transformed, writable
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps.transform import Context, Transformed
from edgemeter_protos.v1 import refusal_pb2


def apply(model: LoadedModel, context: Context) -> Transformed:
    """A shallower model of the same kind.

    Blocks are chosen at once, by their influence in the whole model, as in Men et al. (arXiv:2403.03853,
    section 3.2).

    Raises:
        ConversionError: it has no more blocks than that.
    """
    count = context.arguments["layers"]
    assert isinstance(count, int)
    module = writable(model)
    blocks = module.model.layers
    if count >= len(blocks):
        raise ConversionError(
            f"prune-layers({count}): the model has {len(blocks)} layers, of which at most "
            f"{len(blocks) - 1} can go",
            reason=refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
        )
    windows = calibration_windows(
        context.training, module.config.vocab_size, context.seed, f"prune-layers({count})"
    )
    influence = block_influence(module, windows, lambda share: context.progress(share, "influence of layers"))
    gone = least(influence, count)
    without(module, gone)
    return Transformed(model=transformed(model, module), notes=(_note(gone, influence, len(windows)),))


def without(module: Any, gone: list[int]) -> None:
    """Takes those blocks out of a `LlamaForCausalLM`."""
    module.model.layers = nn.ModuleList(
        block for number, block in enumerate(module.model.layers) if number not in gone
    )
    for number, block in enumerate(module.model.layers):
        block.self_attn.layer_idx = number
    module.config.num_hidden_layers = len(module.model.layers)


def _note(gone: list[int], influence: list[float], windows: int) -> str:
    removed = ", ".join(f"{number} ({influence[number]:.3f})" for number in gone)
    left = [share for number, share in enumerate(influence) if number not in gone]
    return (
        f"Removed {len(gone)} of {len(influence)} layers, counted from 0, with their influence over "
        f"{windows} windows: {removed}; the others' goes from {min(left):.3f} to {max(left):.3f}."
    )
