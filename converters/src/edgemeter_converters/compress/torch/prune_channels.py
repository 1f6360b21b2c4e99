"""Structured pruning of torch modules: channels go, with all that depends on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgemeter_converters.compress.torch import channels
from edgemeter_converters.compress.torch.layers import listed, sample_inputs, transformed, writable_copy
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import torch_module
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import training_arguments
from edgemeter_converters.steps.transform import Context, Transformed
from edgemeter_converters.training.torch import fine_tune


def apply(model: LoadedModel, context: Context) -> Transformed:
    """A narrower model with the same inputs and outputs.

    Raises:
        ConversionError: no layer can lose channels, or fine-tuning failed.
    """
    ratio = context.arguments["ratio"]
    assert isinstance(ratio, float)
    module, notes = thinner(model, context, ratio, "prune-channels")
    history = fine_tune(module, context, training_arguments.read(context.arguments, context.seed))
    return Transformed(
        model=transformed(model, module),
        epochs=history.epochs,
        first_loss=history.first_loss,
        last_loss=history.last_loss,
        notes=history.notes + notes,
    )


def thinner(model: LoadedModel, context: Context, share: float, step: str) -> tuple[Any, tuple[str, ...]]:
    """A copy of the model's module without that share of each layer's channels, and what to say about it.

    Raises:
        ConversionError: no layer can lose channels.
    """
    module = writable_copy(model)
    inputs = sample_inputs(model, context)
    try:
        plan = channels.plan(module, inputs, share, lambda words: context.progress(0.0, words))
    except Exception as error:
        # torch-pruning raises whatever its trace of the module breaks with.
        raise ConversionError(
            f"{step}: which channels depend on which can't be told: {torch_module.reason_of(error)}"
        ) from error
    whole = _grouped(plan.whole)
    if not plan.removals:
        reasons = "; ".join(f"{names}: {reason}" for reason, names in whole.items())
        raise ConversionError(f"{step}: no layer can lose channels: {reasons or 'it has none that could'}")
    cut = channels.remove(module, inputs, plan.removals)
    module.eval()
    notes = [
        f"Kept all channels of {names}: {reason}."
        for reason, names in whole.items()
        if reason != channels.MAKES_AN_OUTPUT
    ]
    if cut.loose:
        notes.append(f"Parameters outside of layers were cut along with them: {listed(cut.loose)}.")
    return module, tuple(notes)


def _grouped(whole: Mapping[str, str]) -> dict[str, str]:
    """The layers that are left whole, listed, by the reason."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in whole.items():
        by_reason.setdefault(reason, []).append(name)
    return {reason: listed(names) for reason, names in by_reason.items()}
