"""Distillation of torch modules: a thinner student starts from a share of the original's own weights, and
learns what the original answers."""

from __future__ import annotations

from edgemeter_converters.compress.torch.layers import transformed
from edgemeter_converters.compress.torch.prune_channels import thinner
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import training_arguments
from edgemeter_converters.steps.transform import Context, Transformed
from edgemeter_converters.training.torch import fine_tune

TEMPERATURE = 4.0
"""Hinton et al. (arXiv:1503.02531, section 3) found 2.5 to 4 best for students that are much smaller."""


def apply(model: LoadedModel, context: Context) -> Transformed:
    """A model of that share of the original's width.

    Raises:
        ConversionError: no layer can be thinner, or training failed.
    """
    width = context.arguments["width"]
    assert isinstance(width, float)
    student, notes = thinner(model, context, 1 - width, "distill")
    history = fine_tune(
        student,
        context,
        training_arguments.read(context.arguments, context.seed),
        temperature=TEMPERATURE,
    )
    return Transformed(
        model=transformed(model, student),
        epochs=history.epochs,
        first_loss=history.first_loss,
        last_loss=history.last_loss,
        notes=history.notes + notes,
    )
