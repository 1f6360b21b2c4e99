"""Magnitude pruning of torch modules, layer by layer.

Every layer reaches the same sparsity. Weights of convolutions, dense and recurrent layers and attention are
pruned. Left whole are depthwise convolutions, which hold next to nothing and lose most, since each weight is
one of the nine or so that a channel has (Zhu and Gupta, arXiv:1710.01878, section 4.2, leave them too);
embeddings, whose rows are words; biases and normalization.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from edgemeter_converters.compress.torch.layers import Weight, listed, transformed, weights, writable_copy
from edgemeter_converters.compress.torch.zeros import Masks
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import training_arguments
from edgemeter_converters.steps.call import Ratio
from edgemeter_converters.steps.transform import Context, Transformed
from edgemeter_converters.training import schedule
from edgemeter_converters.training.torch import fine_tune


def apply(model: LoadedModel, context: Context) -> Transformed:
    """A model whose smallest weights are exactly zero, and stayed so while the others were trained.

    Raises:
        ConversionError: no weight can be pruned so, or fine-tuning failed.
    """
    sparsity = context.arguments["sparsity"]
    assert isinstance(sparsity, float | Ratio)
    module = writable_copy(model)
    every = prunable(module)
    pruned = [each for each in every if not isinstance(sparsity, Ratio) or _has_groups(each, sparsity)]
    if not pruned:
        least = f" with {sparsity.out_of} inputs or more" if isinstance(sparsity, Ratio) else ""
        raise ConversionError(f"prune: the model has no convolutions, dense or recurrent layers{least}")
    masks = GradualMasks(pruned, sparsity)
    history = fine_tune(module, context, training_arguments.read(context.arguments, context.seed), hold=masks)
    masks.settle()
    left = [each.layer for each in every if each not in pruned]
    notes = (
        (f"Not pruned, for want of a group of {sparsity.out_of} inputs: {listed(left)}.",)
        if left and isinstance(sparsity, Ratio)
        else ()
    )
    return Transformed(
        model=transformed(model, module),
        epochs=history.epochs,
        first_loss=history.first_loss,
        last_loss=history.last_loss,
        notes=history.notes + notes,
    )


class GradualMasks(Masks):
    """Masks that are chosen anew while sparsity rises; a weight that is zero stays so, being the smallest.

    N:M masks are chosen once, before training, as in Mishra et al. (arXiv:2104.08378).
    """

    def __init__(self, each_weight: Iterable[Weight], sparsity: float | Ratio) -> None:
        super().__init__(each_weight, {})
        self._sparsity = sparsity
        if isinstance(sparsity, Ratio):
            self.settle()

    def choose(self, step: int, total: int) -> None:
        if not isinstance(self._sparsity, Ratio) and schedule.is_mask_step(step, total):
            self._choose(schedule.sparsity(step, total, self._sparsity))

    def settle(self) -> None:
        """The final masks: nothing changes after training that has reached them."""
        self._choose(1.0 if isinstance(self._sparsity, Ratio) else self._sparsity)
        self.apply()

    def _choose(self, share: float) -> None:
        for each in self.each_weight:
            values = each.parameter.detach().numpy()
            if isinstance(self._sparsity, Ratio):
                zeros, group = self._sparsity.of, self._sparsity.out_of
                mask = schedule.n_of_m_mask(values, each.input_axis, zeros, group)
            else:
                mask = schedule.smallest_mask(values, share)
            self.kept[each.name] = torch.from_numpy(mask.copy())


def _has_groups(weight: Weight, ratio: Ratio) -> bool:
    return int(weight.parameter.shape[weight.input_axis]) >= ratio.out_of


def prunable(module: Any) -> tuple[Weight, ...]:
    """The weights that pruning is about."""
    tables = {id(each.weight) for each in module.modules() if isinstance(each, nn.Embedding)}
    return tuple(each for each in weights(module) if not each.depthwise and id(each.parameter) not in tables)
