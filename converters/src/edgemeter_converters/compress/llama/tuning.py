"""Fine-tuning in the manner of the steps that all frameworks share, by `epochs`, `lr`, `batch` and `seed`."""

from __future__ import annotations

from typing import Any

from edgemeter_converters.compress.llama.blocks import training_windows
from edgemeter_converters.steps import training_arguments
from edgemeter_converters.steps.transform import Context
from edgemeter_converters.training import llama as training
from edgemeter_converters.training.torch import History, Hold


def fine_tune(module: Any, context: Context, step: str, hold: Hold | None = None) -> History:
    """Trains those of the module's parameters that require gradients, in place; nothing where the call says
    epochs=0.

    Raises:
        ConversionError: no windows of text, another tokenizer's, or the loss is no number any more.
    """
    tuning = training_arguments.read(context.arguments, context.seed)
    if tuning.epochs == 0:
        return History()
    windows = training_windows(context.training, module.config.vocab_size, step)
    plan = training.planned(
        len(windows),
        epochs=tuning.epochs,
        learning_rate=tuning.learning_rate,
        batch_size=tuning.batch_size,
        seed=tuning.seed,
    )
    return training.fine_tune(module, windows, context, plan, hold)
