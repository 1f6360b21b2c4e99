"""A language model's dense layers become products of thinner ones.

A plain Llama has no place for factors, so what is kept are their products: the model is as large as it was,
and what this step tells is the quality that low rank would cost.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from edgemeter_converters.compress.llama import blocks
from edgemeter_converters.compress.llama.modules import transformed, writable
from edgemeter_converters.compress.llama.tuning import fine_tune
from edgemeter_converters.compress.ranks import rank_of
from edgemeter_converters.compress.torch.layers import replace
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps.transform import Context, Transformed


class Factors(nn.Module):  # type: ignore[misc]
    """Two thin dense layers in the place of one.

    Attributes:
        inner: (rank, inputs).
        outer: (outputs, rank).
    """

    def __init__(self, inner: Any, outer: Any) -> None:
        super().__init__()
        self.inner, self.outer = nn.Parameter(inner), nn.Parameter(outer)

    def forward(self, values: Any) -> Any:
        return functional.linear(functional.linear(values, self.inner), self.outer)

    def product(self) -> Any:
        """As one dense layer."""
        layer = nn.Linear(self.inner.shape[1], self.outer.shape[0], bias=False)
        layer.weight = nn.Parameter((self.outer @ self.inner).detach(), requires_grad=False)
        return layer


def apply(model: LoadedModel, context: Context) -> Transformed:
    """A model of the same shape whose dense layers are of low rank, wherever their factors would be smaller.

    Raises:
        ConversionError: no layer's would be, or fine-tuning failed.
    """
    module = writable(model)
    windows = None
    if context.training is not None:
        windows = blocks.calibration_windows(
            context.training, module.config.vocab_size, context.seed, "low-rank"
        )
    before, after = _factorize(module, windows, context)
    history = fine_tune(module, context, "low-rank")
    for name, layer in list(module.named_modules()):
        if isinstance(layer, Factors):
            replace(module, name, layer.product())
    return Transformed(
        model=transformed(model, module),
        epochs=history.epochs,
        first_loss=history.first_loss,
        last_loss=history.last_loss,
        notes=(
            *history.notes,
            (
                f"In factors, {before:,} weights of dense layers would be {after:,}; a plain Llama has no "
                "place for factors, so the file is as large and as fast as without this step."
            ),
        ),
    )


def truncated(weight: Any, rank: int, gram: Any | None = None) -> tuple[Any, Any]:
    """Inner and outer factor of the product of that rank whose outputs are nearest.

    By SVD: of the weights alone, or, where the layer's inputs are known, of the weights times the Cholesky
    factor of their Gram matrix, after which the squared singular values that are cut off are the outputs'
    error (Wang et al., SVD-LLM, arXiv:2403.07378, section 3.1).

    Args:
        weight: (outputs, inputs).
        gram: (inputs, inputs), of what the layer is given.
    """
    left, values, right, whitening = _decomposed(weight, gram)
    root = values[:rank].sqrt()
    inner = root[:, None] * right[:rank]
    if whitening is not None:
        inner = torch.linalg.solve_triangular(whitening, inner, upper=False, left=False)
    return inner.to(weight.dtype).contiguous(), (left[:, :rank] * root).to(weight.dtype).contiguous()


def _decomposed(weight: Any, gram: Any | None) -> tuple[Any, Any, Any, Any]:
    whitening = None if gram is None else torch.linalg.cholesky(blocks.damped(gram))
    matrix = weight.double() if whitening is None else weight.double() @ whitening
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return left, values, right, whitening


def _factorize(module: Any, windows: Any, context: Context) -> tuple[int, int]:
    """Puts factors in the place of dense layers; how many weights these had, and have now."""
    budget, energy, rank = (context.arguments[name] for name in ("budget", "energy", "r"))
    assert isinstance(budget, float)
    assert energy is None or isinstance(energy, float)
    assert rank is None or isinstance(rank, int)
    stream = None if windows is None else blocks.entering(module, windows)
    layers = module.model.layers
    before = after = replaced = 0
    for number, block in enumerate(layers):
        context.progress(number / len(layers), f"factors of layer {number + 1} of {len(layers)}")
        found: dict[str, Any] = {}
        if stream is not None:
            with blocks.grams(blocks.linears(block)) as found:
                stream.after(block)
        for name, layer in blocks.linears(block).items():
            weight = layer.weight.detach()
            rows, columns = weight.shape
            values = _decomposed(weight, found.get(name))[1].tolist() if energy is not None else ()
            chosen = rank_of(values, rows, columns, budget=budget, energy=energy, rank=rank)
            before += rows * columns
            after += rows * columns if chosen is None else chosen * (rows + columns)
            if chosen is not None:
                replace(block, name, Factors(*truncated(weight, chosen, found.get(name))))
                replaced += 1
        if stream is not None:
            stream = stream.after(block)
    if not replaced:
        raise ConversionError("low-rank: no dense layer gets smaller in factors of that rank")
    return before, after
