"""From a kept language model to a torch module that may be changed, and back."""

from __future__ import annotations

from typing import Any

from edgemeter_converters.models import llama
from edgemeter_converters.models.model import LoadedModel


def writable(model: LoadedModel) -> Any:
    """The model as a `LlamaForCausalLM` of the caller's own, none of whose weights is trained yet."""
    module = llama.load_module(llama.folder_of(model))
    module.requires_grad_(False)
    return module


def transformed(model: LoadedModel, module: Any) -> LoadedModel:
    """The changed module, kept as a model is; the tokenizer is `model`'s.

    Raises:
        ConversionError: its configuration is none of a plain Llama's.
    """
    folder = llama.folder_of(model)
    return llama.made(lambda target: llama.save_module(module, target, folder))
