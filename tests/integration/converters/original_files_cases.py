"""Loads SavedModels and .tflite files as originals and writes down what came of it:
`original_files_cases.py FOLDER`.

A program of its own, so that TensorFlow stays out of the tests' process.
"""

from __future__ import annotations

import json
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from edgemeter_converters import process
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats import Encoding
from edgemeter_converters.formats.tflite import TFLite
from edgemeter_converters.models import keras as keras_models
from edgemeter_converters.models import saved_model, tflite, tflite_anatomy
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision


def packed(folder: Path) -> Path:
    """The folder as a .zip beside it, one folder down as file managers pack."""
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for each in folder.rglob("*"):
            archive.write(each, f"{folder.name}/{each.relative_to(folder)}")
    return path


def refusal(load: Callable[[Path, str], LoadedModel], path: Path) -> list[Any]:
    try:
        load(path, path.name)
    except ConversionError as error:
        return [error.message, error.reason]
    return []


def encoded(model: LoadedModel, precision: Precision, inputs: tuple[Any, ...]) -> bytes:
    with tempfile.TemporaryDirectory() as work_dir:
        encoding = Encoding(
            precision=precision,
            input_shapes=tuple(each.shape[1:] for each in inputs),
            calibration=inputs,
            work_dir=Path(work_dir),
        )
        return TFLite().encode(model, encoding)


def error(expected: Any, actual: Any) -> float:
    """The largest, as a share of the outputs' range."""
    return max(
        float(np.abs(one - two).max() / np.abs(one).max()) for one, two in zip(expected, actual, strict=True)
    )


def exported(folder: Path) -> tuple[dict[str, Any], LoadedModel, tuple[Any, ...], Any]:
    """A Keras network with two inputs and two outputs, by way of `model.export`."""
    import keras

    zulu, alpha = keras.Input((4,), name="zulu"), keras.Input((3,), name="alpha")
    joined = keras.layers.Concatenate()([keras.layers.Dense(5)(zulu), alpha])
    heads = {"wide": keras.layers.Dense(6)(joined), "narrow": keras.layers.Dense(2)(joined)}
    network = keras.Model({"zulu": zulu, "alpha": alpha}, heads)
    network.export(folder / "two", verbose=False)
    model = saved_model.load(packed(folder / "two"), "two.zip")
    random = np.random.RandomState(3)
    inputs = tuple(random.standard_normal((20, size)).astype(np.float32) for size in (3, 4))
    expected = keras_models.predict(network, inputs)
    anatomy = saved_model.anatomy(saved_model.folder_of(model), model.signature)
    found: dict[str, Any] = {
        "names": [[each.name for each in side] for side in (model.signature.inputs, model.signature.outputs)],
        "shapes": [list(each.shape) for each in (*model.signature.inputs, *model.signature.outputs)],
        "parameters": [model.parameters, network.count_params()],
        "predict": error(expected, saved_model.predict(saved_model.folder_of(model), inputs)),
        "macs": anatomy.macs,
        "kinds": [[each.kind, each.count, each.parameters] for each in anatomy.layers],
    }
    for precision in (Precision.FLOAT32, Precision.INT8, Precision.W4A8):
        artifact = TFLite().open(encoded(model, precision, inputs))
        found[precision.value] = error(expected, artifact.run(inputs))
    return found, model, inputs, expected


def unsafe(folder: Path) -> dict[str, Any]:
    """SavedModels whose graphs touch the machine."""
    import tensorflow as tf

    folder.joinpath("words").write_text("a\nb\n")
    written = folder / "written"

    def read(x: Any) -> Any:
        return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)

    def write(x: Any) -> Any:
        tf.io.write_file(str(written), "x")
        return x * 2

    def call_python(x: Any) -> Any:
        return tf.reshape(tf.py_function(lambda each: each, [x], tf.float32), (-1, 3))

    def say(x: Any) -> Any:
        tf.print(x)
        return x

    def compute(x: Any) -> Any:
        return tf.nn.relu(x)

    found = {}
    for function in (read, write, call_python, say, compute):
        module = tf.Module()
        module.serve = tf.function(function, input_signature=[tf.TensorSpec((None, 3), tf.float32, "x")])
        target = folder / function.__name__
        tf.saved_model.save(module, str(target), signatures={"serving_default": module.serve})
        found[function.__name__] = refusal(saved_model.load, packed(target))
    found["another_signature"] = refusal(saved_model.load, _another_signature(folder / "another"))
    found["table"] = refusal(saved_model.load, _table(folder / "table", folder / "words"))
    return found | {"written": written.exists()}


def _another_signature(folder: Path) -> Path:
    import tensorflow as tf

    module = tf.Module()
    module.serve = tf.function(lambda x: x, input_signature=[tf.TensorSpec((None, 3), tf.float32, "x")])
    tf.saved_model.save(module, str(folder), signatures={"mine": module.serve})
    return packed(folder)


def _table(folder: Path, words: Path) -> Path:
    import tensorflow as tf

    lookup = tf.lookup
    whole, number = lookup.TextFileIndex.WHOLE_LINE, lookup.TextFileIndex.LINE_NUMBER
    module = tf.Module()
    module.table = lookup.StaticVocabularyTable(
        lookup.TextFileInitializer(str(words), tf.string, whole, tf.int64, number), 1
    )
    module.serve = tf.function(
        lambda x: module.table.lookup(x), input_signature=[tf.TensorSpec((None, 1), tf.string, "x")]
    )
    tf.saved_model.save(module, str(folder), signatures={"serving_default": module.serve})
    return packed(folder)


def files(folder: Path, made: LoadedModel, inputs: tuple[Any, ...], expected: Any) -> dict[str, Any]:
    """.tflite files of several precisions as originals."""
    found: dict[str, Any] = {}
    for precision in (Precision.FLOAT32, Precision.INT8, Precision.WEIGHT_ONLY_INT8, Precision.W4A8):
        content = encoded(made, precision, inputs)
        path = folder / f"{precision.value}.tflite"
        path.write_bytes(content)
        model = tflite.load(path, path.name)
        found[precision.value] = {
            "precision": tflite.precision_of(content).value,
            "inputs": [each.dtype for each in model.signature.inputs],
            "shapes": [list(each.shape) for each in (*model.signature.inputs, *model.signature.outputs)],
            "parameters": model.parameters,
            "macs": tflite_anatomy.anatomy(content, model.signature).macs,
            "predict": error(expected, tflite.predict(content, inputs)),
            "as_it_is": encoded(model, precision, inputs) == content,
            "as": {each.value: _encoded_as(model, each, inputs, expected) for each in AS},
        }
    content = (folder / "float32.tflite").read_bytes()
    (folder / "cut.tflite").write_bytes(content[: len(content) // 2])
    (folder / "text.tflite").write_text("I am no model")
    (folder / "custom.tflite").write_bytes(_custom())
    return found | {
        name: refusal(tflite.load, folder / f"{name}.tflite") for name in ("cut", "text", "custom")
    }


AS = (Precision.FLOAT16, Precision.INT8, Precision.WEIGHT_ONLY_INT4)


def _encoded_as(model: LoadedModel, precision: Precision, inputs: tuple[Any, ...], expected: Any) -> Any:
    try:
        return error(expected, TFLite().open(encoded(model, precision, inputs)).run(inputs))
    except ConversionError as refused:
        return refused.message


def _custom() -> bytes:
    import tensorflow as tf

    function = tf.function(tf.math.erfinv, input_signature=[tf.TensorSpec((1, 3), tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    converter.allow_custom_ops = True
    return bytes(converter.convert())


def main(folder: Path) -> None:
    process.prepare()
    import keras

    keras.utils.set_random_seed(4)
    found, model, inputs, expected = exported(folder)
    results: dict[str, Any] = {
        "exported": found,
        "unsafe": unsafe(folder),
        "files": files(folder, model, inputs, expected),
    }
    unpacked = saved_model.folder_of(model)
    before = unpacked.exists()
    del model
    results["unpacked"] = [before, unpacked.exists()]
    (folder / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
