"""A Keras model's smallest weights become zero, gradually while it is fine-tuned."""

from __future__ import annotations

import numpy as np

from edgemeter_converters.compress.keras.kernels import Kernel, kernels
from edgemeter_converters.compress.keras.network import copy, loaded
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import training_arguments
from edgemeter_converters.steps.call import Ratio
from edgemeter_converters.steps.transform import Context, Transformed
from edgemeter_converters.training import schedule
from edgemeter_converters.training.keras import fine_tune
from edgemeter_converters.training.keras_hooks import Masks


def apply(model: LoadedModel, context: Context) -> Transformed:
    """The model with a share of each kernel's weights zero, those of the smallest magnitude.

    Each layer loses the same share. Left whole are biases and statistics, which are few; depthwise kernels,
    in which each weight is one of the nine or so that a channel has; and embeddings, whose rows are words.
    N:M is along a kernel's input channels: the sum that a sparse kernel would shorten runs over them.

    Raises:
        ConversionError: no kernel could be pruned; fine-tuning diverged.
    """
    sparsity = context.arguments["sparsity"]
    network = copy(model.network)
    pruned = [each for each in kernels(network) if not (each.depthwise or each.embedding)]
    notes: tuple[str, ...] = ()
    if isinstance(sparsity, Ratio):
        short = [each for each in pruned if each.variable.shape[each.input_axis] < sparsity.out_of]
        pruned = [each for each in pruned if each not in short]
        if short:
            names = ", ".join(each.layer for each in short)
            notes = (f"Not pruned, as their inputs have fewer than {sparsity.out_of} channels: {names}.",)
    if not pruned:
        raise ConversionError("there is nothing to prune: the model has no kernels of dense or conv layers")
    tuning = training_arguments.read(context.arguments, context.seed)
    masks = _masks(pruned, sparsity)
    history = fine_tune(network, context, tuning, hooks=(masks,))
    if tuning.epochs == 0:
        masks.after_step(0, 1)
    return Transformed(
        model=loaded(network, model),
        epochs=history.epochs,
        first_loss=history.first_loss,
        last_loss=history.last_loss,
        notes=(*notes, *history.notes),
    )


def _masks(pruned: list[Kernel], sparsity: object) -> Masks:
    variables = [each.variable for each in pruned]
    if isinstance(sparsity, Ratio):
        # At once: a pattern of two in four has nothing in between that could be gradual.
        fixed = [
            schedule.n_of_m_mask(np.asarray(each.variable), each.input_axis, sparsity.of, sparsity.out_of)
            for each in pruned
        ]
        return Masks(variables, fixed)
    assert isinstance(sparsity, float)

    free = [np.ones(tuple(each.shape), dtype=np.bool_) for each in variables]
    return Masks(variables, free, schedule.smallest_mask, sparsity)
