"""A Keras model's dense layers and convolutions become products of thinner ones."""

from __future__ import annotations

from typing import Any

from edgemeter_converters.compress.keras import factors
from edgemeter_converters.compress.keras.network import Replacement, Weights, loaded, rebuild
from edgemeter_converters.compress.ranks import rank_of, ranks_of
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import training_arguments
from edgemeter_converters.steps.transform import Context, Transformed
from edgemeter_converters.training.keras import fine_tune
from edgemeter_converters.training.keras_hooks import kept_forms

_CONVOLUTIONS = frozenset({"Conv1D", "Conv2D", "Conv3D"})


def apply(model: LoadedModel, context: Context) -> Transformed:
    """The model with factors in place of each layer that they make smaller.

    Raises:
        ConversionError: there is no such layer; fine-tuning diverged.
    """
    budget, energy, rank = (context.arguments[name] for name in ("budget", "energy", "r"))
    assert isinstance(budget, float)
    assert energy is None or isinstance(energy, float)
    assert rank is None or isinstance(rank, int)
    replaced: list[str] = []
    kept: list[str] = []

    def factorize(layer: Any) -> Replacement | None:
        if not _is_plain(layer):
            return None
        replacement = _replacement(layer, budget, energy, rank)
        (kept if replacement is None else replaced).append(layer.name)
        return replacement

    network = rebuild(model.network, factorize)
    if not replaced:
        why = (
            f"factors of {', '.join(kept[:5])} would be too thin, or no smaller"
            if kept
            else "it has no such layers"
        )
        raise ConversionError(f"no dense layer or convolution can be factorized: {why}")
    tuning = training_arguments.read(context.arguments, context.seed)
    history = fine_tune(network, context, tuning, hooks=kept_forms(network))
    notes = (
        (f"Kept whole, as their factors would be too thin, or no smaller: {', '.join(kept)}.",)
        if kept
        else ()
    )
    return Transformed(
        model=loaded(network, model),
        epochs=history.epochs,
        first_loss=history.first_loss,
        last_loss=history.last_loss,
        notes=(*notes, *history.notes),
    )


def _is_plain(layer: Any) -> bool:
    kind = type(layer).__name__
    if kind != "Dense" and (kind not in _CONVOLUTIONS or layer.groups > 1):
        return False
    return not getattr(layer, "lora_enabled", False) and not getattr(layer, "quantization_mode", None)


def _replacement(layer: Any, budget: float, energy: float | None, fixed: int | None) -> Replacement | None:
    kernel, *bias = layer.get_weights()
    inputs, outputs = kernel.shape[-2:]
    if kernel.size == inputs * outputs:
        # A dense layer, or a convolution of single positions: one matrix.
        matrix = kernel.reshape(inputs, outputs)
        values = factors.singular_values(matrix, 0)
        rank = rank_of(values, inputs, outputs, budget=budget, energy=energy, rank=fixed)
        if rank is None:
            return None
        first, second = factors.svd(matrix, rank)
        ones = kernel.shape[:-2]
        return Replacement(
            layers=(_spatial(layer, rank, "_in"), _last(layer)),
            weights=([first.reshape(*ones, inputs, rank)], [second.reshape(*ones, rank, outputs), *bias]),
        )
    ranks = ranks_of(
        factors.singular_values(kernel, -2),
        factors.singular_values(kernel, -1),
        inputs=inputs,
        outputs=outputs,
        kernel=kernel.size // (inputs * outputs),
        budget=budget,
        energy=energy,
        rank=fixed,
    )
    if ranks is None:
        return None
    first, core, last = factors.tucker2(kernel, *ranks)
    ones = (1,) * (kernel.ndim - 2)
    layers: list[Any] = [_spatial(layer, ranks[1], "_core"), _last(layer)]
    weights: list[Weights] = [[core], [last.reshape(*ones, *last.shape), *bias]]
    if ranks[0] < inputs:
        layers.insert(0, _pointwise(layer, ranks[0], "_in"))
        weights.insert(0, [first.reshape(*ones, *first.shape)])
    else:
        weights[0] = [first @ core]
    return Replacement(layers=tuple(layers), weights=tuple(weights))


def _spatial(layer: Any, width: int, suffix: str) -> Any:
    """Its strides, padding and dilation; what makes values of sums is the last layer's."""
    return _like(layer, suffix, activation="linear", use_bias=False, **{_width_option(layer): width})


def _pointwise(layer: Any, width: int, suffix: str) -> Any:
    ones = (1,) * len(layer.kernel_size)
    return _like(
        layer,
        suffix,
        filters=width,
        activation="linear",
        use_bias=False,
        kernel_size=ones,
        strides=ones,
        dilation_rate=ones,
        padding="valid",
    )


def _last(layer: Any) -> Any:
    if type(layer).__name__ == "Dense":
        return _like(layer, "")
    ones = (1,) * len(layer.kernel_size)
    return _like(layer, "", kernel_size=ones, strides=ones, dilation_rate=ones, padding="valid")


def _like(layer: Any, suffix: str, **changes: object) -> Any:
    config = layer.get_config() | {"name": f"{layer.name}{suffix}"} | changes
    return type(layer).from_config(config)


def _width_option(layer: Any) -> str:
    return "units" if type(layer).__name__ == "Dense" else "filters"
