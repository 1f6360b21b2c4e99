"""Whole channels are removed from a Keras model, and it is fine-tuned."""

from __future__ import annotations

from edgemeter_converters.compress.keras.network import loaded
from edgemeter_converters.compress.keras.slicing import Thinner
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import training_arguments
from edgemeter_converters.steps.transform import Context, Transformed
from edgemeter_converters.training.keras import fine_tune
from edgemeter_converters.training.keras_hooks import kept_forms


def apply(model: LoadedModel, context: Context) -> Transformed:
    """The model without a share of each layer's channels.

    Raises:
        ConversionError: no channel can be removed, and why; or fine-tuning diverged.
    """
    ratio = context.arguments["ratio"]
    assert isinstance(ratio, float)
    thinner = Thinner(model.network)
    network = thinner.without_share(ratio)
    tuning = training_arguments.read(context.arguments, context.seed)
    history = fine_tune(network, context, tuning, hooks=kept_forms(network))
    return Transformed(
        model=loaded(network, model),
        epochs=history.epochs,
        first_loss=history.first_loss,
        last_loss=history.last_loss,
        notes=(*thinner.notes(), *history.notes),
    )
