"""Each feed-forward part loses channels between its dense layers; what stays takes over their work."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from edgemeter_converters.compress.llama import blocks
from edgemeter_converters.compress.llama.modules import transformed, writable
from edgemeter_converters.compress.llama.reconstruct import importance, without_inputs
from edgemeter_converters.compress.llama.widths import BLOCK, SUPER_BLOCK, kept_width
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps.transform import Context, Transformed
from edgemeter_protos.v1 import refusal_pb2


def apply(model: LoadedModel, context: Context) -> Transformed:
    """A model of the same kind whose feed-forward parts are narrower, all by the same number of channels.

    Raises:
        ConversionError: they are too narrow already.
    """
    share = context.arguments["ratio"]
    assert isinstance(share, float)
    step = f"prune-width({share:g})"
    module = writable(model)
    width = int(module.config.intermediate_size)
    kept = kept_width(width, share)
    if kept is None:
        raise ConversionError(
            f"{step}: the model's feed-forward parts have {width} channels, and widths are whole multiples "
            f"of {BLOCK}",
            reason=refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
        )
    windows = blocks.calibration_windows(context.training, module.config.vocab_size, context.seed, step)
    stream = blocks.entering(module, windows)
    layers = module.model.layers
    for number, block in enumerate(layers):
        context.progress(number / len(layers), f"narrowing layer {number + 1} of {len(layers)}")
        with blocks.grams({"down": block.mlp.down_proj}) as found:
            stream.after(block)
        narrow(block.mlp, found["down"], kept)
        stream = stream.after(block)
    module.config.intermediate_size = kept
    return Transformed(model=transformed(model, module), notes=(_note(width, kept, share, len(windows)),))


def narrow(mlp: Any, gram: Any, kept: int) -> None:
    """Leaves that many channels in a block's feed-forward part.

    Args:
        gram: of its channels' values, (channels, channels).
    """
    down = mlp.down_proj.weight.detach()
    chosen = torch.topk(importance(down, gram), kept).indices.sort().values
    mlp.down_proj = _linear(without_inputs(down, gram, chosen))
    mlp.gate_proj = _linear(mlp.gate_proj.weight.detach()[chosen])
    mlp.up_proj = _linear(mlp.up_proj.weight.detach()[chosen])


def _linear(weight: Any) -> Any:
    outputs, inputs = weight.shape
    layer = nn.Linear(inputs, outputs, bias=False)
    layer.weight = nn.Parameter(weight.contiguous(), requires_grad=False)
    return layer


def _note(width: int, kept: int, share: float, windows: int) -> str:
    multiple = SUPER_BLOCK if kept % SUPER_BLOCK == 0 else BLOCK
    return (
        f"Each feed-forward part has {kept:,} of {width:,} channels ({1 - kept / width:.1%} removed, "
        f"{share:.1%} asked for; quantizers take multiples of {multiple}), chosen by {windows} windows; the "
        "layer behind them was fitted anew."
    )
