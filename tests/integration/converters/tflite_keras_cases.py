"""Takes odd Keras networks to TFLite and writes down what came of it: `tflite_keras_cases.py FOLDER`.

A program of its own, so that TensorFlow stays out of the tests' process. `results.json` has, by network and
by case, either "refused" (the one line) or how the file compares with the network.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgemeter_converters import process
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats import Encoding, Options
from edgemeter_converters.formats.tflite import TFLite
from edgemeter_converters.formats.tolerance import largest_difference
from edgemeter_converters.models import keras as keras_models
from edgemeter_converters.models import keras_anatomy, tflite_anatomy, tflite_graph
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision

CASES = {
    "float32": (Precision.FLOAT32, Options()),
    "int8": (Precision.INT8, Options()),
}
"""Of every network."""

DYNAMIC = {"dynamic": (Precision.DYNAMIC_INT8, Options())}
"""Of those that differ in what makes it: TensorFlow leaves layers of less than 1,024 weights in float."""

MORE = {
    "float16": (Precision.FLOAT16, Options()),
    "int8-again": (Precision.INT8, Options()),
    "int8-float-io": (Precision.INT8, Options(io="float")),
    "int8-per-tensor": (Precision.INT8, Options(per_tensor=True)),
    "int8-moving": (Precision.INT8, Options(calibration_method="moving-average")),
    "int8-moving-per-tensor": (
        Precision.INT8,
        Options(calibration_method="moving-average", per_tensor=True),
    ),
    "int8-keep": (Precision.INT8, Options(keep=("branch",))),
    "int8-keep-float-io": (Precision.INT8, Options(keep=("stem",), io="float")),
    "int8-keep-none": (Precision.INT8, Options(keep=("br*", "brunch"))),
    "int16x8": (Precision.INT16X8, Options()),
    "int16x8-keep": (Precision.INT16X8, Options(keep=("branch",))),
    "dynamic-keep": (Precision.DYNAMIC_INT8, Options(keep=("head",))),
    "weight-only-int8": (Precision.WEIGHT_ONLY_INT8, Options()),
    "weight-only-int4": (Precision.WEIGHT_ONLY_INT4, Options()),
    "w4a8": (Precision.W4A8, Options()),
}
"""Of the residual one."""

MORE_BY_NAME = {
    "residual": MORE | DYNAMIC,
    "inception": DYNAMIC,
    "gru": DYNAMIC,
    "attention": DYNAMIC | {"int8-keep": (Precision.INT8, Options(keep=("mha", "ln")))},
    "lstm": DYNAMIC | {"int8-keep": (Precision.INT8, Options(keep=("lstm",)))},
    "faded": {name: MORE[name] for name in ("int8-moving", "int8-moving-per-tensor", "int16x8")}
    | {"int16x8-keep": (Precision.INT16X8, Options(keep=("head",)))},
    "two_inputs": {"int8-keep": (Precision.INT8, Options(keep=("wide",), io="float"))},
}
"""`keep` is for layers that ai-edge-quantizer has no integers for, and where the order could be lost."""

SAMPLES = 16


def networks() -> dict[str, Callable[[], Any]]:  # noqa: C901 (one after the other)
    import keras
    from keras import layers, ops

    def image(channels: int = 3) -> Any:
        return keras.Input((8, 8, channels))

    def residual() -> Any:
        inputs = image()
        x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(inputs)
        x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Add(name="add")([x, layers.Conv2D(8, 3, padding="same", name="branch")(x)])
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        return keras.Model(inputs, layers.Dense(5, activation="softmax", name="head")(x))

    def inception() -> Any:
        inputs = image()
        ways = [layers.Conv2D(4, size, padding="same", activation="relu")(inputs) for size in (1, 3, 5)]
        ways.append(layers.MaxPooling2D(3, 1, padding="same")(inputs))
        return keras.Model(inputs, layers.Dense(5)(layers.Flatten()(layers.Concatenate()(ways))))

    def separable() -> Any:
        inputs = image()
        x = layers.SeparableConv2D(6, 3, activation="relu")(inputs)
        x = layers.DepthwiseConv2D(3, depth_multiplier=2)(x)
        return keras.Model(inputs, layers.Flatten()(x))

    def grouped() -> Any:
        inputs = image(4)
        return keras.Model(inputs, layers.Flatten()(layers.Conv2D(8, 3, groups=2)(inputs)))

    def lstm() -> Any:
        inputs = keras.Input((6, 5))
        return keras.Model(inputs, layers.Dense(3)(layers.LSTM(8, name="lstm")(inputs)))

    def gru() -> Any:
        inputs = keras.Input((6, 5))
        return keras.Model(inputs, layers.Dense(3)(layers.GRU(8)(inputs)))

    def attention() -> Any:
        inputs = keras.Input((6, 8))
        x = layers.MultiHeadAttention(2, 4, name="mha")(inputs, inputs)
        x = layers.LayerNormalization(name="ln")(layers.Add()([inputs, x]))
        return keras.Model(inputs, layers.Dense(3)(layers.Dense(8, activation="gelu")(x)))

    def unet() -> Any:
        inputs = image(2)
        wide = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
        deep = layers.Conv2D(8, 3, padding="same", activation="relu")(layers.MaxPooling2D()(wide))
        x = layers.Concatenate()([wide, layers.Conv2DTranspose(4, 2, strides=2)(deep)])
        x = layers.UpSampling2D(2, interpolation="bilinear")(x)
        return keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(x))

    def two_heads() -> Any:
        inputs = image()
        x = layers.GlobalAveragePooling2D()(layers.Conv2D(6, 3, activation="relu")(inputs))
        heads = [layers.Dense(3, name="wide")(x), layers.Dense(2, activation="softmax", name="narrow")(x)]
        return keras.Model(inputs, heads)

    def tied() -> Any:
        inputs = image()
        shared = layers.Conv2D(3, 3, padding="same", activation="relu")
        return keras.Model(inputs, layers.Dense(4)(layers.Flatten()(shared(shared(inputs)))))

    def two_inputs() -> Any:
        zulu, alpha = keras.Input((4,), name="zulu"), keras.Input((3,), name="alpha")
        joined = layers.Concatenate()([layers.Dense(5)(zulu), alpha])
        heads = {"wide": layers.Dense(6, name="wide")(joined), "narrow": layers.Dense(2)(joined)}
        return keras.Model({"zulu": zulu, "alpha": alpha}, heads)

    def embedding() -> Any:
        inputs = keras.Input((7,), dtype="int32")
        x = layers.GlobalAveragePooling1D()(layers.Embedding(20, 6)(inputs))
        return keras.Model(inputs, layers.Dense(3)(x))

    def any_size() -> Any:
        inputs = keras.Input((None, None, 2))
        x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, activation="relu")(inputs))
        return keras.Model(inputs, layers.Dense(3)(x))

    def nested() -> Any:
        inputs = image()
        block = keras.Sequential([image(), layers.Conv2D(4, 3, name="inner"), layers.ReLU(6.0)], name="block")
        return keras.Model(inputs, layers.Dense(3)(layers.Flatten()(block(inputs))))

    def faded() -> Any:
        """A gate that training drove to a constant, as in MobileNetV3: its weights are next to nothing."""
        inputs = image()
        x = layers.Conv2D(8, 3, activation="relu", name="stem")(inputs)
        to_nothing = keras.initializers.RandomNormal(stddev=1e-12, seed=1)
        gate = layers.Conv2D(
            8,
            1,
            kernel_initializer=to_nothing,
            bias_initializer=keras.initializers.Constant(4.5),
            name="gate",
        )(layers.GlobalAveragePooling2D(keepdims=True)(x))
        x = layers.GlobalAveragePooling2D()(layers.Multiply()([x, gate]))
        return keras.Model(inputs, layers.Dense(3, name="head")(x))

    def no_kernel() -> Any:
        inputs = keras.Input((6,))
        return keras.Model(inputs, ops.erfinv(layers.Dense(4, activation="tanh")(inputs)))

    return {
        each.__name__: each
        for each in (
            *(
                residual,
                inception,
                separable,
                grouped,
                lstm,
                gru,
                attention,
                unet,
                two_heads,
                tied,
                two_inputs,
            ),
            *(embedding, any_size, nested, faded, no_kernel),
        )
    }


def sqnr(expected: Any, actual: Any) -> float:
    """Signal to quantization noise, dB; 200 where there is no noise."""
    noise = float(((expected - actual) ** 2).sum())
    return 200.0 if noise == 0 else float(10 * np.log10((expected**2).sum() / noise))


def data(shapes: Any, model: LoadedModel, samples: int) -> tuple[Any, ...]:
    random = np.random.RandomState(11)
    return tuple(
        random.randint(0, 20, (samples, *shape)).astype(spec.dtype)
        if "int" in spec.dtype
        else random.standard_normal((samples, *shape)).astype(np.float32)
        for shape, spec in zip(shapes, model.signature.inputs, strict=True)
    )


def study(build: Callable[[], Any], cases: dict[str, Any]) -> dict[str, Any]:
    network = build()
    model = LoadedModel(
        framework="keras",
        network=network,
        signature=keras_models._signature(network),
        parameters=network.count_params(),
    )
    shapes = tuple(
        tuple(9 if size < 0 else size for size in each.shape[1:]) for each in model.signature.inputs
    )
    # The last are not calibrated with.
    every = data(shapes, model, 60)
    calibration, inputs = tuple(each[:40] for each in every), tuple(each[-SAMPLES:] for each in every)
    expected = keras_models.predict(network, inputs)
    found: dict[str, Any] = {
        "macs": keras_anatomy.macs(network, model.signature),
        "macs_by_layer": keras_anatomy.by_layer(network, model.signature),
        "anatomy_parameters": sum(
            each.parameters for each in keras_anatomy.anatomy(network, model.signature).layers
        ),
        "parameters": model.parameters,
    }
    format_ = TFLite()
    float_layers: dict[str, Any] = {}
    for name, (precision, options) in cases.items():
        with tempfile.TemporaryDirectory() as work_dir:
            encoding = Encoding(
                precision=precision,
                options=options,
                input_shapes=shapes,
                calibration=calibration,
                work_dir=Path(work_dir),
            )
            try:
                content = format_.encode(model, encoding)
            except ConversionError as error:
                found[name] = {"refused": error.message}
                continue
            found[name] = described(format_, content, inputs, expected)
            if precision is Precision.INT8:
                found[name]["layers"] = list(format_.layers(model, encoding))
        layers = format_.open(content).run_layers(inputs)
        if name == "float32":
            float_layers = layers
        found[name]["by_layer"] = {
            layer: [kind, sqnr(float_layers[layer][1], value)]
            for layer, (kind, value) in layers.items()
            if layer in float_layers and float_layers[layer][1].shape == value.shape
        }
    return found


def described(format_: TFLite, content: bytes, inputs: Any, expected: Any) -> dict[str, Any]:
    artifact = format_.open(content)
    outputs = artifact.run(inputs)
    graph = tflite_graph.read(content)[0]
    return {
        "sqnr": [sqnr(*pair) for pair in zip(expected, outputs, strict=True)],
        "disagreement": largest_difference(outputs, artifact.run_reference(inputs)),
        "extent": max(float(np.abs(each).max()) for each in expected),
        "shapes": [list(each.shape) for each in (*artifact.signature.inputs, *artifact.signature.outputs)],
        "inputs": [each.dtype for each in artifact.signature.inputs],
        "outputs": [each.dtype for each in artifact.signature.outputs],
        "size": len(content),
        "digest": hashlib.sha256(content).hexdigest(),
        "parameters": artifact.parameters,
        "non_zero": artifact.non_zero_parameters,
        "macs": tflite_anatomy.of_graphs(tflite_graph.read(content)).macs,
        "scales": max(len(each.scales) for each in graph.tensors),
        "float_ops": [
            op.layer
            for op in graph.ops
            if op.kind not in tflite_graph.CONVERSIONS
            and any(graph.tensors[at].dtype == "float32" for at in op.outputs)
        ],
        "dtypes": sorted({each.dtype for each in graph.tensors}),
    }


def safety(folder: Path) -> dict[str, Any]:
    """A model of a class of its author's, and one whose weights are too much."""
    import keras

    class Mine(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(3)

        def call(self, x: Any) -> Any:
            return self.dense(x)

    mine = Mine()
    mine(np.zeros((1, 4), np.float32))
    mine.save(folder / "mine.keras")
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save(folder / "plain.keras")
    found = {"subclassed": refusal(folder / "mine.keras")}
    keras_models.MAX_WEIGHTS_BYTES = 59
    return found | {"too_large": refusal(folder / "plain.keras")}


def refusal(path: Path) -> list[Any]:
    try:
        keras_models.load(path, path.name)
    except ConversionError as error:
        return [error.message, error.reason]
    return []


def main(folder: Path) -> None:
    process.prepare()
    import keras

    results: dict[str, Any] = {"safety": safety(folder)}
    for name, build in networks().items():
        # The tools draw random numbers too: each network has its own beginning.
        keras.utils.set_random_seed(1)
        results[name] = study(build, CASES | MORE_BY_NAME.get(name, {}))
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
