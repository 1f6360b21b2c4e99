"""Low-rank adaptation: small matrices beside the dense layers learn the text, and are then added to them.

Hu et al., LoRA, arXiv:2106.09685, by peft.
"""

from __future__ import annotations

import difflib
import fnmatch
import json
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from safetensors.torch import save

from edgemeter_converters.compress.llama.blocks import linears, training_windows
from edgemeter_converters.compress.llama.modules import transformed, writable
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps.transform import Context, LeftFile, Transformed
from edgemeter_converters.training import llama as training
from edgemeter_converters.training.torch import History
from edgemeter_protos.v1 import refusal_pb2

EVERY = "all-linear"
"""peft's word for every dense layer but the one that writes tokens."""

ADAPTER = "adapter.safetensors"

METADATA_KEY = "lora_adapter_metadata"
"""Of the file's header: peft's own configuration of the adapter, where diffusers keeps it too."""

_CHECKED_WINDOWS = 2

_LARGEST_DIFFERENCE = 1e-3
"""In nats a token, between the adapter beside the weights and merged into them: rounding of sums is a
hundredth of it."""


def apply(model: LoadedModel, context: Context) -> Transformed:
    """The model with what its adapter learned added to its weights; the adapter is left as a file.

    Raises:
        ConversionError: a target that there is not, no windows of text, or training failed.
    """
    import peft

    module = writable(model)
    windows = training_windows(context.training, module.config.vocab_size, "lora")
    targets = context.arguments["targets"]
    assert isinstance(targets, tuple)
    plan = _plan(context, len(windows))
    adapted = adapted_layers(_dense_layers(module), targets)
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # peft tells of tied weights and of saving, neither of which is done here.
        warnings.simplefilter("ignore")
        torch.manual_seed(plan.seed)
        with_adapter = peft.get_peft_model(module, _configuration(context, adapted))
        history = training.fine_tune(with_adapter, windows, context, plan)
        checked = windows[:_CHECKED_WINDOWS]
        beside = training.mean_nll(with_adapter, checked)
        adapter = _adapter(with_adapter)
        merged = with_adapter.merge_and_unload()
    difference = abs(training.mean_nll(merged, checked) - beside)
    if not difference <= _LARGEST_DIFFERENCE:
        raise ConversionError(
            f"lora: merging changed what the adapter had learned, by {difference:.3g} nats a token"
        )
    trained = sum(each.numel() for each in _tensors(adapter).values())
    seen = min(plan.steps * plan.batch_size, len(windows))
    return Transformed(
        model=transformed(model, merged),
        epochs=history.epochs,
        first_loss=history.first_loss,
        last_loss=history.last_loss,
        notes=(
            *history.notes,
            *_worse(history, plan),
            (
                f"The adapter has {trained:,} weights in {len(adapted)} layers; {plan.steps} batches of "
                f"{plan.batch_size} windows saw {seen} of the {len(windows)} training windows."
            ),
        ),
        files=(
            LeftFile(
                name=ADAPTER, content=adapter, about=f"LoRA adapter ({_call(context)}), by peft, float32"
            ),
        ),
    )


def _worse(history: History, plan: training.Plan) -> tuple[str, ...]:
    first, last = history.first_loss, history.last_loss
    if first is None or last is None or last <= first:
        return ()
    rose = f"the loss rose from {first:.3g} to {last:.3g} nats a token"
    return (f"Nothing was learned: {rose}; lower lr={plan.learning_rate:g}.",)


def adapted_layers(layers: Sequence[str], targets: Sequence[str]) -> list[str]:
    """Those of `layers`, by their full names, that a target names: by the last part of its name, the whole of
    it, or a pattern of either. All of them where there are no targets. Pure.

    Raises:
        ConversionError: a target that names none.
    """
    if not targets or tuple(targets) == (EVERY,):
        return list(layers)
    for target in targets:
        if not any(_named(layer, target) for layer in layers):
            known = list(dict.fromkeys(layer.rpartition(".")[2] for layer in layers))
            nearest = difflib.get_close_matches(target, known, n=1)
            hint = f"did you mean {nearest[0]!r}? " if nearest else ""
            raise ConversionError(
                f"lora: targets={target}: no dense layer is called so: {hint}there are {', '.join(known)}, "
                f"or {EVERY}",
                reason=refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
            )
    return [layer for layer in layers if any(_named(layer, target) for target in targets)]


def _named(layer: str, target: str) -> bool:
    return fnmatch.fnmatchcase(layer, target) or fnmatch.fnmatchcase(layer.rpartition(".")[2], target)


def _dense_layers(module: Any) -> list[str]:
    return [
        f"model.layers.{number}.{name}"
        for number, block in enumerate(module.model.layers)
        for name in linears(block)
    ]


def _plan(context: Context, windows: int) -> training.Plan:
    epochs, steps, rate, batch, seed = (
        context.arguments[name] for name in ("epochs", "steps", "lr", "batch", "seed")
    )
    assert isinstance(epochs, int)
    assert steps is None or isinstance(steps, int)
    assert isinstance(rate, float)
    assert isinstance(batch, int)
    return training.planned(
        windows,
        epochs=epochs,
        steps=steps,
        learning_rate=rate,
        batch_size=batch,
        seed=seed if isinstance(seed, int) else context.seed,
    )


def _configuration(context: Context, adapted: list[str]) -> Any:
    import peft

    rank, alpha = context.arguments["r"], context.arguments["alpha"]
    assert isinstance(rank, int)
    assert isinstance(alpha, int)
    return peft.LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=0.0, bias="none", target_modules=adapted, task_type="CAUSAL_LM"
    )


def _call(context: Context) -> str:
    return f"r={context.arguments['r']}, alpha={context.arguments['alpha']}"


def _adapter(with_adapter: Any) -> bytes:
    """The adapter's own weights, by peft's names for them, and in the header what peft needs to load them."""
    import peft

    state = peft.get_peft_model_state_dict(with_adapter)
    configuration = with_adapter.peft_config["default"].to_dict()
    text = json.dumps(configuration, sort_keys=True, default=_written)
    content: bytes = save(
        {name: each.detach().contiguous() for name, each in state.items()},
        # One key: safetensors writes several in any order.
        metadata={METADATA_KEY: text},
    )
    return content


def _written(value: object) -> object:
    return sorted(value) if isinstance(value, set | frozenset) else str(value)


def _tensors(content: bytes) -> dict[str, Any]:
    from safetensors.torch import load

    found: dict[str, Any] = load(content)
    return found
