"""A Keras model is trained on under simulated 8-bit rounding, so that int8 costs it less."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from edgemeter_converters.compress.keras.network import (
    CallGraph,
    LayerCall,
    Replacement,
    call_graph,
    clone,
    loaded,
    rebuild,
)
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import training_arguments
from edgemeter_converters.steps.transform import Context, Transformed
from edgemeter_converters.training.keras import fine_tune
from edgemeter_converters.training.keras_hooks import kept_forms

_SAME_SCALE = frozenset(
    {"Flatten", "Reshape", "Permute", "Dropout", "Identity", "RepeatVector", "Softmax", "InputLayer"}
    | {f"{kind}{n}D" for kind in ("ZeroPadding", "Cropping", "UpSampling") for n in (1, 2, 3)}
    | {f"{kind}Pooling{n}D" for kind in ("Max", "GlobalMax") for n in (1, 2, 3)}
)
"""What gives only values that it was given, which are rounded already; and softmax, whose range is known."""

_RECTIFIERS = frozenset({"ReLU", "Relu", "Relu6"})
_FUSED_WITH_RECTIFIER = frozenset({"BatchNormalization", "Add", "Subtract", "Multiply"})


def apply(model: LoadedModel, context: Context) -> Transformed:
    """The model with weights that are fit for int8: the same layers, still in float.

    Weights are rounded in training as the converter will, batch normalization folded in; values are rounded
    where an integer network stores them, in ranges that are moving averages (Jacob et al., arXiv:1712.05877,
    section 3.1).

    Raises:
        ConversionError: fine-tuning diverged.
    """
    tuning = training_arguments.read(context.arguments, context.seed)
    keep = context.arguments["keep"]
    assert isinstance(keep, tuple)
    simulation = Simulation(model.network, bool(context.arguments["per_tensor"]), keep)
    history = fine_tune(simulation.network, context, tuning, hooks=kept_forms(simulation.network))
    return Transformed(
        model=loaded(simulation.plain(), model),
        epochs=history.epochs,
        first_loss=history.first_loss,
        last_loss=history.last_loss,
        notes=history.notes,
    )


class Simulation:
    """A network's likeness that rounds.

    Attributes:
        network: it.
    """

    def __init__(self, network: Any, per_tensor: bool, keep: tuple[str, ...]) -> None:
        from edgemeter_converters.compress.keras.simulated import RoundedValues

        self._original = network
        self._per_tensor, self._keep = per_tensor, keep
        graph = call_graph(network)
        self._stored = _stored(graph)
        self._normalizations = _normalizations(graph)
        self._made: dict[int, Any] = {}

        def round_input(tensor: Any) -> Any:
            is_real = np.dtype(tensor.dtype).kind == "f"
            return RoundedValues(name=f"{tensor.name}_rounded")(tensor) if is_real else tensor

        self.network = rebuild(network, self._rounding, round_input)

    def plain(self) -> Any:
        """A network of the original's layers with the weights that were trained."""

        def trained(operation: Any) -> Replacement | None:
            made = self._made.get(id(operation))
            if made is None:
                return None
            return Replacement(layers=(clone(operation),), weights=(made.get_weights(),))

        return rebuild(self._original, trained)

    def _rounding(self, operation: Any) -> Replacement | None:
        import keras

        from edgemeter_converters.compress.keras.simulated import ROUNDED, RoundedLayer, RoundedValues

        new = clone(operation)
        weights = None
        if isinstance(operation, keras.Layer):
            self._made[id(operation)] = new
            weights = operation.get_weights()
        float_ = any(fnmatchcase(operation.name, pattern) for pattern in self._keep)
        if type(operation).__name__ in ROUNDED and _is_plain(operation) and not float_:
            first: Any = RoundedLayer(new, per_tensor=self._per_tensor, factor=self._factor(operation))
        else:
            first = new
        if id(operation) not in self._stored:
            return Replacement(layers=(first,), weights=(weights,))
        rounding = RoundedValues(name=f"{operation.name}_rounded")
        return Replacement(layers=(first, rounding), weights=(weights, None))

    def _factor(self, operation: Any) -> Callable[[], Any]:
        from edgemeter_converters.compress.keras.simulated import factor_of

        normalization = self._normalizations.get(id(operation))

        def factor() -> Any:
            # It is made after what it follows; until then only shapes matter.
            made = None if normalization is None else self._made.get(id(normalization))
            return factor_of(made) if made is not None and made.built else None

        return factor


def _is_plain(layer: Any) -> bool:
    usual = getattr(layer, "data_format", None) in (None, "channels_last")
    return (
        usual and not getattr(layer, "lora_enabled", False) and not getattr(layer, "quantization_mode", None)
    )


def _stored(graph: CallGraph) -> set[int]:
    """By `id`, the operations whose results an integer network stores, as opposed to those that are computed
    together with what follows them."""
    consumers = graph.consumers()
    return {
        id(call.operation)
        for call in graph.calls
        if len(call.outputs) == 1 and _is_stored(call, _only(consumers, graph, call))
    }


def _is_stored(call: LayerCall, follower: Any) -> bool:
    operation, kind = call.operation, type(call.operation).__name__
    activation = getattr(getattr(operation, "activation", None), "__name__", "")
    if kind in _SAME_SCALE or activation == "softmax" or np.dtype(_dtype(operation)).kind != "f":
        return False
    if follower is None:
        return True
    if type(follower).__name__ == "BatchNormalization" and _sums(operation):
        return False
    return not (_rectifies(follower) and (_sums(operation) or kind in _FUSED_WITH_RECTIFIER))


def _only(consumers: dict[int, list[LayerCall]], graph: CallGraph, call: LayerCall) -> Any:
    """The one operation that takes a call's result; None where there are none or several."""
    takers = consumers.get(call.outputs[0], [])
    alone = len(takers) == 1 and call.outputs[0] not in graph.outputs
    return takers[0].operation if alone else None


def _sums(operation: Any) -> bool:
    """Whether an operation's result is its sums, no activation being applied to them."""
    from edgemeter_converters.compress.keras.simulated import ROUNDED

    activation = getattr(operation, "activation", None)
    return type(operation).__name__ in ROUNDED and getattr(activation, "__name__", "linear") == "linear"


def _rectifies(operation: Any) -> bool:
    activation = getattr(getattr(operation, "activation", None), "__name__", "")
    kind = type(operation).__name__
    return kind in _RECTIFIERS or (kind == "Activation" and activation in ("relu", "relu6"))


def _normalizations(graph: CallGraph) -> dict[int, Any]:
    """By an operation's `id`, the batch normalization that a converter folds into its kernel."""
    consumers = graph.consumers()
    found: dict[int, Any] = {}
    for call in graph.calls:
        follower = _only(consumers, graph, call) if len(call.outputs) == 1 else None
        if type(follower).__name__ == "BatchNormalization" and _sums(call.operation):
            found[id(call.operation)] = follower
    return found


def _dtype(operation: Any) -> str:
    return str(getattr(operation, "compute_dtype", None) or "float32")
