"""Small Keras networks of many shapes, pictures that they can learn, and a way to run a step on them."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import pytest
from keras import layers
from numpy.typing import NDArray

from edgemeter_converters.datasets.dataset import Samples
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import STEPS
from edgemeter_converters.steps.call import StepCall, Value
from edgemeter_converters.steps.parameter import bind
from edgemeter_converters.steps.transform import Context, Progress, Transformed
from edgemeter_protos.v1 import variant_pb2

KERAS_SAVING = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
"""What Keras's own saving does with TensorFlow's variables under numpy 2."""

CLASSES = 3
SIDE = 12
VOCABULARY = 50


def residual() -> Any:
    image = layers.Input((SIDE, SIDE, 3))
    x = layers.ReLU()(_convolved(image, 16))
    inner = layers.ReLU()(_convolved(x, 12))
    x = layers.Activation("relu")(layers.Add()([x, _convolved(inner, 16)]))
    strided = layers.Conv2D(24, 1, strides=2)(x)
    # An operator, not a layer.
    x = strided + layers.Conv2D(24, 3, strides=2, padding="same")(x)
    return keras.Model(image, layers.Dense(CLASSES, activation="softmax")(layers.GlobalAveragePooling2D()(x)))


def concatenated() -> Any:
    """Inception-like, two outputs, and a sum that ties parts of a concatenation in two orders."""
    image = layers.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(12, 3, activation="relu")(image)
    a = layers.Conv2D(8, 1, activation="relu")(x)
    b = layers.Conv2D(10, 3, padding="same", activation="relu")(x)
    c = layers.MaxPooling2D(3, 1, "same")(x)
    x = layers.BatchNormalization()(layers.Concatenate()([a, b, c]))
    x = layers.Add()([layers.Conv2D(30, 1)(x), layers.Concatenate()([b, a, c])])
    x = layers.Dense(16, activation="tanh")(layers.Flatten()(x))
    return keras.Model(image, [layers.Dense(CLASSES)(x), layers.Dense(2, activation="sigmoid")(x)])


def mobile() -> Any:
    """Depthwise with a multiplier, separable, squeeze-and-excite, a slope for each channel."""
    image = layers.Input((SIDE, SIDE, 3))
    x = layers.ReLU(6.0)(_convolved(image, 8))
    x = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, use_bias=False)(x)
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = _convolved(x, 16, size=1)
    gate = layers.Reshape((1, 1, 16))(layers.GlobalAveragePooling2D()(x))
    gate = layers.Conv2D(4, 1, activation="relu")(gate)
    gate = layers.Conv2D(16, 1, activation="sigmoid")(gate)
    x = layers.Multiply()([x, gate])
    x = layers.SeparableConv2D(16, 3, depth_multiplier=2, activation="relu")(x)
    x = layers.ZeroPadding2D(1)(layers.PReLU(shared_axes=[1, 2])(x))
    x = layers.Reshape((-1,))(layers.AveragePooling2D(2)(x))
    return keras.Model(image, layers.Dense(CLASSES)(x))


def unet() -> Any:
    image = layers.Input((16, 16, 1))
    top = layers.Conv2D(8, 3, padding="same", activation="relu")(image)
    low = layers.Conv2D(16, 3, padding="same", activation="relu")(layers.MaxPooling2D()(top))
    up = layers.Conv2DTranspose(8, 2, strides=2, activation="relu")(low)
    x = layers.Concatenate()([top, up, layers.UpSampling2D()(low)])
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.SpatialDropout2D(0.1)(x))
    return keras.Model(image, layers.Conv2D(2, 1)(x))


def shared() -> Any:
    """Layers called twice; inputs and outputs by name."""
    one, two = layers.Input((10, 10, 4), name="one"), layers.Input((10, 10, 4), name="two")
    first, second = layers.Conv2D(16, 3), layers.Conv2D(16, 3, padding="same")
    relu = layers.ReLU()
    x = layers.Subtract()([second(relu(first(one))), second(relu(first(two)))])
    return keras.Model({"one": one, "two": two}, {"out": layers.Dense(4)(layers.Flatten()(x))})


def nested() -> Any:
    """Models within a model, with layers of the same names."""

    def part(name: str) -> Any:
        body = [layers.Conv2D(8, 3, activation="relu", name=f"conv{at}") for at in range(2)]
        return keras.Sequential([layers.Input((8, 8, 3)), *body], name=name)

    image = layers.Input((8, 8, 3))
    x = layers.Add()([part("left")(image), part("right")(image)])
    return keras.Model(image, layers.Dense(CLASSES)(layers.Flatten()(x)))


def text() -> Any:
    tokens = layers.Input((SIDE,), dtype="int32")
    x = layers.Embedding(VOCABULARY, 24)(tokens)
    x = layers.GlobalMaxPooling1D()(layers.Conv1D(32, 3, activation="gelu")(x))
    return keras.Model(tokens, layers.Dense(2, activation="softmax")(x))


def recurrent() -> Any:
    series = layers.Input((10, 6))
    x = layers.Conv1D(12, 3, activation="relu")(series)
    x = layers.Bidirectional(layers.LSTM(8, return_sequences=True))(x)
    x = layers.Dense(16, activation="relu")(layers.GRU(8)(x))
    return keras.Model(series, layers.Dense(CLASSES)(x))


def attention() -> Any:
    series = layers.Input((10, 8))
    x = layers.Dense(16)(series)
    x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(2, 8)(x, x)]))
    x = x + layers.Dense(16)(layers.Dense(32, activation="gelu")(x))
    return keras.Model(series, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(x)))


def grouped() -> Any:
    image = layers.Input((10, 10, 3))
    x = layers.Conv2D(8, 3, activation="relu")(image)
    x = layers.Conv2D(16, 3, groups=4, activation="relu")(x)
    x = layers.Conv2D(16, 3, activation="relu")(x)
    return keras.Model(image, layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(x)))


def strided() -> Any:
    """Strides, dilation, paddings and activations on what low-rank factors stand for; statistics on top."""
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(0).normal(3, 2, (50, SIDE, SIDE, 4)))
    return keras.Sequential(
        [
            layers.Input((SIDE, SIDE, 4)),
            normalization,
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(32, 2, dilation_rate=2, activation="tanh"),
            layers.Conv2D(32, 1, strides=2, use_bias=False),
            layers.Dropout(0.2),
            layers.Flatten(),
            layers.Dense(40, activation="relu"),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )


NETS: dict[str, Callable[[], Any]] = {
    each.__name__: each
    for each in (
        residual,
        concatenated,
        mobile,
        unet,
        shared,
        nested,
        text,
        recurrent,
        attention,
        grouped,
        strided,
    )
}


def made(name: str) -> Any:
    """A network whose biases and statistics are not the zeros and ones that hide mistakes."""
    keras.utils.set_random_seed(3)
    network = NETS[name]()
    random = np.random.default_rng(1)
    for weight in network.weights:
        if weight.name in ("bias", "beta", "moving_mean"):
            weight.assign(random.normal(0, 0.2, weight.shape))
        if weight.name in ("gamma", "moving_variance"):
            weight.assign(random.uniform(0.5, 1.5, weight.shape))
    return network


def inputs_of(network: Any, samples: int = 5) -> list[NDArray[Any]]:
    random = np.random.default_rng(5)
    found: list[NDArray[Any]] = []
    for tensor in network.inputs:
        shape = (samples, *tensor.shape[1:])
        whole = tensor.dtype == "int32"
        found.append(
            random.integers(0, VOCABULARY, shape).astype(np.int32)
            if whole
            else random.normal(0, 1, shape).astype(np.float32)
        )
    return found


def loaded(network: Any) -> LoadedModel:
    def spec(tensor: Any) -> variant_pb2.TensorSpec:
        shape = [-1 if size is None else size for size in tensor.shape]
        return variant_pb2.TensorSpec(name=tensor.name, dtype=np.dtype(tensor.dtype).name, shape=shape)

    signature = variant_pb2.Signature(
        inputs=[spec(tensor) for tensor in network.inputs],
        outputs=[spec(tensor) for tensor in network.outputs],
    )
    return LoadedModel(
        framework="keras", network=network, signature=signature, parameters=int(network.count_params())
    )


def run(
    step: str,
    network: Any,
    folder: Path,
    data: Samples | None = None,
    *,
    task: str = "classification",
    progress: Progress = lambda _done, _words: None,
    flags: tuple[str, ...] = (),
    **arguments: Value,
) -> Transformed:
    """A step's work on a network, which is its own original."""
    model = loaded(network)
    call = StepCall(name=step, arguments=flags, keywords=tuple(sorted(arguments.items())))
    context = Context(
        arguments=bind(step, STEPS[step].parameters, call),
        original=model,
        training=data,
        task=task,
        seed=5,
        checkpoint_dir=folder,
        progress=progress,
    )
    module = import_module(f"edgemeter_converters.compress.keras.{step.replace('-', '_')}")
    transformed: Transformed = module.apply(model, context)
    return transformed


def _convolved(x: Any, filters: int, size: int = 3) -> Any:
    x = layers.Conv2D(filters, size, padding="same", use_bias=False)(x)
    return layers.BatchNormalization()(x)
