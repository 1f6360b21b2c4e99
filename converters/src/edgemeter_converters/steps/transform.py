"""What a step that changes the model is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgemeter_converters.datasets.dataset import Samples
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps.parameter import Arguments

Progress = Callable[[float, str], None]
"""Told the fraction done, 0 to 1, and a few words: "fine-tuning, epoch 2 of 5, loss 0.31"."""


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a step may use beside the model that it changes.

    Attributes:
        arguments: of its call, defaults filled in.
        original: the model before any step: the teacher where the data has no labels, and of `distill`.
        training: the data's training samples, preprocessed, inputs in the model's own element types; None
            where the call needs none.
        task: of the original: "classification", or empty.
        seed: of all that is random.
        checkpoint_dir: this step's alone; what is in it was left by an earlier try at the same step, whose
            worker was killed.
        progress: to be told now and then.
    """

    arguments: Arguments
    original: LoadedModel
    training: Samples | None
    task: str
    seed: int
    checkpoint_dir: Path
    progress: Progress


@dataclass(frozen=True, kw_only=True)
class LeftFile:
    """A file that a step leaves beside the model, and that no runtime needs.

    Attributes:
        name: with its suffix: "adapter.safetensors".
        about: what it is, a few words.
    """

    name: str
    content: bytes
    about: str


@dataclass(frozen=True, kw_only=True)
class Transformed:
    """A changed model, and what was done to it.

    Attributes:
        model: a new one; the one that was given is untouched.
        epochs: of fine-tuning, 0 for none.
        first_loss, last_loss: of fine-tuning, means over its beginning and its end: its first and its last
            epoch, or shares of a few long ones.
        notes: what the user should know, a sentence each.
        files: left beside the model.
    """

    model: LoadedModel
    epochs: int = 0
    first_loss: float | None = None
    last_loss: float | None = None
    notes: tuple[str, ...] = ()
    files: tuple[LeftFile, ...] = ()
