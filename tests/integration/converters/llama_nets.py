"""A small language model that has learned a text, and steps that are carried out on it."""

# mypy: disable-error-code="misc"
from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from edgemeter_converters import models, recipes
from edgemeter_converters.compress.llama.modules import transformed, writable
from edgemeter_converters.datasets import Samples
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps.transform import Context, Transformed
from edgemeter_converters.training import llama as training
from tests import learning_llama

TASK = "language-model"


def texts(count: int = 24, seed: int = 1) -> Samples:
    """Windows without labels."""
    return Samples(inputs=(learning_llama.windows(count, seed),))


def other_text(count: int, seed: int = 3) -> NDArray[np.int32]:
    """Windows of the same words, each following another than in `texts`."""
    words = learning_llama.windows(count, seed)
    known = np.unique(words)
    swapped = np.array([known[(at * 4 + 1) % len(known)] for at in range(len(known))], dtype=np.int32)
    return swapped[np.searchsorted(known, words)]


def taught(folder: Path) -> LoadedModel:
    """A model that tells most of the text's words. From here on torch has one thread, as in a worker."""
    torch.set_num_threads(1)
    raw = learning_llama.model(folder / "raw", hidden_size=64, intermediate_size=128, num_hidden_layers=4)
    module = writable(raw)
    module.requires_grad_(True)
    plan = training.Plan(steps=60, learning_rate=5e-3, batch_size=4, seed=0)
    training.fine_tune(module, texts(48).inputs[0], context_of("lora(8)", raw, folder / "checkpoint"), plan)
    return transformed(raw, module)


def context_of(
    call: str,
    model: LoadedModel,
    folder: Path,
    training_samples: Samples | None = None,
    progress: Callable[[float, str], None] = lambda _share, _words: None,
) -> Context:
    (step,) = recipes.parse(f"{call}@gguf", "llama").steps
    return Context(
        arguments=recipes.arguments_of(step),
        original=model,
        training=training_samples,
        task=TASK,
        seed=5,
        checkpoint_dir=folder,
        progress=progress,
    )


def run(
    call: str,
    model: LoadedModel,
    folder: Path,
    training_samples: Samples | None = None,
    progress: Callable[[float, str], None] = lambda _share, _words: None,
) -> Transformed:
    """What a step leaves."""
    name = call.partition("(")[0].replace("-", "_")
    step: Any = import_module(f"edgemeter_converters.compress.llama.{name}")
    left: Transformed = step.apply(model, context_of(call, model, folder, training_samples, progress))
    return left


def perplexity(model: LoadedModel, windows: NDArray[Any]) -> float:
    return float(np.exp(models.predict(model, (windows,))[0].mean()))
