"""TensorFlow.js models read as TensorFlow itself computes them."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemeter_converters import models
from edgemeter_converters.zoo import tfjs

RANDOM = np.random.RandomState(1)
WEIGHTS = {
    "kernel": RANDOM.normal(size=(3, 3, 2, 4)).astype(np.float16),
    "bias": RANDOM.normal(size=4).astype(np.float16),
    "depth": RANDOM.normal(size=(3, 3, 4, 1)).astype(np.float16),
    "depth_bias": RANDOM.normal(size=4).astype(np.float16),
}


def _text(value: str) -> str:
    return base64.b64encode(value.encode()).decode()


def _fused(name: str, op: str, inputs: list[str], activation: str) -> dict[str, Any]:
    return {
        "name": name,
        "op": op,
        "input": inputs,
        "attr": {
            "T": {"type": "DT_FLOAT"},
            "strides": {"list": {"i": ["1", "2", "2", "1"]}},
            "padding": {"s": _text("SAME")},
            "data_format": {"s": _text("NHWC")},
            "dilations": {"list": {"i": ["1", "1", "1", "1"]}},
            "fused_ops": {"list": {"s": [_text("BiasAdd"), _text(activation)]}},
            "num_args": {"i": "1"},
        },
    }


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """model.json and its weights.bin, of a convolution and a depthwise one."""
    nodes: list[dict[str, Any]] = [
        {
            "name": name,
            "op": "Const",
            "attr": {
                "dtype": {"type": "DT_FLOAT"},
                "value": {"tensor": {"dtype": "DT_FLOAT", "tensorShape": {}}},
            },
        }
        for name in WEIGHTS
    ]
    shape = {"dim": [{"size": "1"}, {"size": "8"}, {"size": "8"}, {"size": "2"}]}
    nodes.append(
        {
            "name": "pixels",
            "op": "Placeholder",
            "attr": {"dtype": {"type": "DT_FLOAT"}, "shape": {"shape": shape}},
        }
    )
    nodes.append(_fused("first", "_FusedConv2D", ["pixels", "kernel", "bias"], "Relu6"))
    nodes.append(_fused("second", "FusedDepthwiseConv2dNative", ["first", "depth", "depth_bias"], "Relu"))
    manifest = [
        {
            "name": name,
            "shape": list(values.shape),
            "dtype": "float32",
            "quantization": {"dtype": "float16", "original_dtype": "float32"},
        }
        for name, values in WEIGHTS.items()
    ]
    (tmp_path / "weights.bin").write_bytes(b"".join(values.tobytes() for values in WEIGHTS.values()))
    (tmp_path / "model.json").write_text(
        json.dumps(
            {
                "modelTopology": {"node": nodes, "library": {}, "versions": {"producer": 1000}},
                "weightsManifest": [{"paths": ["weights.bin"], "weights": manifest}],
            }
        )
    )
    return {path.name: path for path in tmp_path.iterdir()}


@pytest.mark.needs_tensorflow
def test_a_graph_becomes_a_saved_model_that_computes_the_same(files: dict[str, Path], tmp_path: Path) -> None:
    import tensorflow as tf

    from edgemeter_converters.zoo import saved_models

    path = saved_models.write(
        tmp_path / "graph.zip",
        tfjs.graph(files["model.json"], files),
        inputs={"pixels": ("pixels:0", (None, 8, 8, 2))},
        outputs={"values": ("second:0", (None, 2, 2, 4))},
    )
    loaded = models.load(path, "graph.zip")
    assert loaded.parameters == 3 * 3 * 2 * 4 + 3 * 3 * 4, "what has fewer than 16 numbers is no weight"
    assert list(loaded.signature.outputs[0].shape) == [-1, 2, 2, 4]
    x = RANDOM.normal(size=(3, 8, 8, 2)).astype(np.float32)
    weights = {name: values.astype(np.float32) for name, values in WEIGHTS.items()}
    first = tf.nn.relu6(tf.nn.conv2d(x, weights["kernel"], 2, "SAME") + weights["bias"])
    second = tf.nn.depthwise_conv2d(first, weights["depth"], (1, 2, 2, 1), "SAME")
    expected = tf.nn.relu(second + weights["depth_bias"]).numpy()
    assert models.predict(loaded, [x])[0] == pytest.approx(expected, abs=1e-5)
    assert expected.std() > 0.1


def test_weights_of_whole_numbers_with_a_scale(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes([0, 128, 255]) + np.array([7, -1], "<i4").tobytes())
    weights = [
        {
            "name": "x",
            "shape": [3],
            "dtype": "float32",
            "quantization": {"dtype": "uint8", "scale": 0.5, "min": -10},
        },
        {"name": "y", "shape": [2], "dtype": "int32"},
    ]
    model = {"weightsManifest": [{"paths": ["a.bin"], "weights": weights}]}
    read = tfjs.weights(model, {"a.bin": tmp_path / "a.bin"})
    assert read["x"].tolist() == [-10, 54, 117.5]
    assert read["x"].dtype == np.float32
    assert read["y"].tolist() == [7, -1]


@pytest.mark.parametrize(("size", "message"), [(4, "end within x"), (10, "2 bytes follow the last weight")])
def test_weights_must_be_all_there(size: int, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(bytes(size))
    model = {
        "weightsManifest": [
            {"paths": ["a.bin"], "weights": [{"name": "x", "shape": [2], "dtype": "float32"}]}
        ]
    }
    with pytest.raises(ValueError, match=message):
        tfjs.weights(model, {"a.bin": tmp_path / "a.bin"})
