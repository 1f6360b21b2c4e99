"""Each of a Keras model's kernels keeps a few different weights, which are fine-tuned."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters.compress import kmeans
from edgemeter_converters.compress.keras.kernels import kernels
from edgemeter_converters.compress.keras.network import copy, loaded
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import training_arguments
from edgemeter_converters.steps.transform import Context, Transformed
from edgemeter_converters.training.keras import fine_tune
from edgemeter_converters.training.keras_hooks import Masks, SharedValues, kept_forms


def apply(model: LoadedModel, context: Context) -> Transformed:
    """The model with at most so many different weights in each kernel; zeros of an earlier pruning stay zero.

    Raises:
        ConversionError: every kernel has fewer weights than that; fine-tuning diverged.
    """
    count = context.arguments["clusters"]
    assert isinstance(count, int)
    network = copy(model.network)
    shared = [each for each in kernels(network) if np.prod(each.variable.shape) > count]
    if not shared:
        raise ConversionError(f"there is nothing to cluster: no layer has more than {count} weights")
    # Masks only: what was shared before is shared anew.
    held = [each for each in kept_forms(network) if isinstance(each, Masks)]
    numbers = [_share(each.variable, count) for each in shared]
    hooks = (*held, SharedValues([each.variable for each in shared], numbers))
    tuning = training_arguments.read(context.arguments, context.seed)
    history = fine_tune(network, context, tuning, hooks=hooks)
    return Transformed(
        model=loaded(network, model),
        epochs=history.epochs,
        first_loss=history.first_loss,
        last_loss=history.last_loss,
        notes=history.notes,
    )


def _share(variable: Any, count: int) -> NDArray[np.int64]:
    """Gives a variable its shared values; the number of each weight's."""
    weights = np.asarray(variable)
    numbers, centroids = kmeans.cluster(weights, count, hold_zero=bool((weights == 0).any()))
    variable.assign(centroids[numbers].astype(weights.dtype))
    return numbers
