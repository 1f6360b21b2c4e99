"""Low-rank factors in place of a torch module's dense layers and convolutions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from edgemeter_converters.compress.ranks import SMALLEST_RANK, rank_of, ranks_of
from edgemeter_converters.compress.torch import factors
from edgemeter_converters.compress.torch.layers import listed, replace, transformed, writable_copy
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import training_arguments
from edgemeter_converters.steps.transform import Context, Transformed
from edgemeter_converters.training.torch import fine_tune

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def apply(model: LoadedModel, context: Context) -> Transformed:
    """A model whose layers are products of thinner ones, wherever these have fewer parameters.

    Grouped and transposed convolutions, recurrent layers and attention's own projections are left whole, as
    are layers that share their weights.

    Raises:
        ConversionError: no layer's factors would be smaller, or fine-tuning failed.
    """
    budget, energy, rank = (context.arguments[name] for name in ("budget", "energy", "r"))
    assert isinstance(budget, float)
    assert energy is None or isinstance(energy, float)
    assert rank is None or isinstance(rank, int)
    module = writable_copy(model)
    whole = []
    replaced = 0
    for name, layer in list(_candidates(module)):
        made = _factorized(layer, budget, energy, rank)
        if made is None or (_is_special(layer) and not factors.computes_the_same(layer, made)):
            whole.append(name)
        else:
            replace(module, name, made)
            replaced += 1
    if not replaced:
        raise ConversionError(
            "low-rank: no dense layer or convolution gets smaller in factors of rank "
            f"{SMALLEST_RANK} or more with that {'budget' if energy is None else 'energy'}"
        )
    history = fine_tune(module, context, training_arguments.read(context.arguments, context.seed))
    notes = (
        (f"Left whole, since factors would be no smaller, too thin or no substitute: {listed(whole)}.",)
        if whole
        else ()
    )
    return Transformed(
        model=transformed(model, module),
        epochs=history.epochs,
        first_loss=history.first_loss,
        last_loss=history.last_loss,
        notes=history.notes + notes,
    )


def _is_special(layer: Any) -> bool:
    return type(layer) not in (nn.Linear, *_CONVOLUTIONS)


def _candidates(module: Any) -> Iterator[tuple[str, Any]]:
    owners: dict[int, int] = {}
    for each in module.modules():
        for parameter in each.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    for name, each in module.named_modules():
        # A subclass of a dense layer, such as attention's output projection, need not be called at all.
        known = type(each) is nn.Linear or (isinstance(each, _CONVOLUTIONS) and each.groups == 1)
        if known and name and isinstance(each.weight, nn.Parameter) and owners[id(each.weight)] == 1:
            yield name, each


def _factorized(layer: Any, budget: float, energy: float | None, fixed: int | None) -> Any:
    """The factors; None where they are no smaller."""
    weight = layer.weight
    kernel = weight[0, 0].numel()
    rows, columns = weight.shape[0], weight.shape[1]
    if kernel == 1:
        rank = rank_of(
            factors.singular_values(weight.flatten(1)),
            rows,
            columns,
            budget=budget,
            energy=energy,
            rank=fixed,
        )
        if rank is None:
            return None
        return factors.svd(layer, rank) if type(layer) is nn.Linear else factors.pointwise_svd(layer, rank)
    ranks = ranks_of(
        factors.singular_values(weight.transpose(0, 1).flatten(1)),
        factors.singular_values(weight.flatten(1)),
        inputs=columns,
        outputs=rows,
        kernel=kernel,
        budget=budget,
        energy=energy,
        rank=fixed,
    )
    return None if ranks is None else factors.tucker2(layer, *ranks)
