"""Odd Keras networks to TFLite and back: what they compute, what is refused, what is stored."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgemeter_protos.v1 import refusal_pb2

# Under a minute where nothing else runs.
pytestmark = [pytest.mark.timeout(600), pytest.mark.slow, pytest.mark.needs_tensorflow]

INT8_DB = 8.0
"""Of random networks on noise, none trained: 9.7 and more were seen. A wrong op gives 0."""

LEFT_IN_FLOAT = {"attention": {"ln"}, "gru": {"gru"}, "lstm": {"lstm"}}
"""Where TensorFlow, for some weights, puts a float op between two conversions, without a word."""

NETWORKS = [
    *("residual", "inception", "separable", "grouped", "lstm", "gru", "attention", "unet", "two_heads"),
    *("tied", "two_inputs", "embedding", "any_size", "nested", "faded"),
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tflite-keras")
    cases = Path(__file__).with_name("tflite_keras_cases.py")
    done = subprocess.run(
        [sys.executable, str(cases), str(folder)], capture_output=True, text=True, timeout=580
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "results.json").read_text())


@pytest.mark.parametrize("network", NETWORKS)
def test_float32_computes_what_the_network_does(network: str, results: Any) -> None:
    assert min(results[network]["float32"]["sqnr"]) > 100
    assert set(results[network]["float32"]["dtypes"]) <= {"bool", "float32", "int32", "int64"}


@pytest.mark.parametrize("network", NETWORKS)
def test_int8_is_near_and_integer(network: str, results: Any) -> None:
    found = results[network]["int8"]
    assert min(found["sqnr"]) > INT8_DB
    assert set(found["float_ops"]) <= LEFT_IN_FLOAT.get(network, set())
    assert set(found["outputs"]) == {"int8"}
    assert set(found["inputs"]) == ({"int32"} if network == "embedding" else {"int8"})
    assert found["disagreement"] < 0.1 * found["extent"]


@pytest.mark.parametrize("network", ["residual", "inception", "lstm", "gru", "attention"])
def test_dynamic_is_nearer(network: str, results: Any) -> None:
    assert min(results[network]["dynamic"]["sqnr"]) > 35


@pytest.mark.parametrize(
    ("network", "macs"),
    [
        # 64 places of 8 by 27 weights, then of 8 by 72, then a dense layer.
        ("residual", {"stem": 64 * 8 * 27, "branch": 64 * 8 * 72, "head": 8 * 5}),
        ("nested", {"inner": 36 * 4 * 27, "dense_": 36 * 4 * 3}),
        # Two calls of one layer.
        ("tied", {"conv2d_": 2 * 64 * 3 * 27, "dense_": 192 * 4}),
        # 36 places of 3*9 + 3*6 weights, 16 places of 12*9.
        ("separable", {"separable_conv2d": 36 * (27 + 18), "depthwise_conv2d": 16 * 12 * 9}),
        # Two groups of two channels.
        ("grouped", {"conv2d_": 36 * 8 * 9 * 2}),
        # Six steps of four gates over 5 features and 8 units; three gates for the other.
        ("lstm", {"lstm": 6 * 4 * 8 * (5 + 8), "dense_": 8 * 3}),
        ("gru", {"gru": 6 * 3 * 8 * (5 + 8), "dense_": 8 * 3}),
        # Projections of 8 features to 2 heads of 4; then scores, and sums, of 6 by 6 for each.
        (
            "attention",
            {
                **{f"{name}": 6 * 8 * 8 for name in ("query", "key", "value", "attention_output")},
                "mha": 6 * 6 * 2 * (4 + 4),
                "dense_a": 6 * 8 * 8,
                "dense_b": 6 * 8 * 3,
            },
        ),
        ("unet", {"a": 64 * 4 * 18, "b": 16 * 8 * 36, "up": 16 * 8 * 4 * 4, "c": 256 * 1 * 8}),
        ("any_size", {}),
    ],
)
def test_macs_by_layer(network: str, macs: dict[str, int], results: Any) -> None:
    found = results[network]["macs_by_layer"]
    assert sorted(found.values()) == sorted(macs.values())
    assert results[network]["macs"] == sum(macs.values())
    for layer in ("stem", "branch", "inner", "lstm", "gru", "mha"):
        assert found.get(layer) == macs.get(layer)


@pytest.mark.parametrize(
    "network",
    # Loops are counted once in a file; a fixed size is given only to the file.
    [each for each in NETWORKS if each not in ("lstm", "gru", "any_size")],
)
def test_macs_are_those_of_the_file(network: str, results: Any) -> None:
    assert results[network]["macs"] == results[network]["float32"]["macs"] > 0
    assert results[network]["anatomy_parameters"] == results[network]["parameters"]


@pytest.mark.parametrize(
    ("case", "decibels"),
    [
        ("float16", 60.0),
        ("weight-only-int8", 45.0),
        ("weight-only-int4", 20.0),
        ("w4a8", 20.0),
        ("int16x8", 40.0),
        ("int16x8-keep", 40.0),
        ("int8-float-io", 30.0),
        ("int8-per-tensor", 30.0),
        ("int8-moving", 20.0),
        ("int8-keep", 30.0),
        ("dynamic-keep", 40.0),
    ],
)
def test_every_precision_is_near(case: str, decibels: float, results: Any) -> None:
    found = results["residual"][case]
    assert min(found["sqnr"]) > decibels
    assert found["macs"] == results["residual"]["macs"]
    # Batch normalization is folded; a bias that two layers share may be parted.
    assert 840 <= found["parameters"] <= 848
    assert 0 < found["non_zero"] <= found["parameters"]


@pytest.mark.parametrize(
    ("case", "decibels"),
    [("int8", 20.0), ("int8-moving", 15.0), ("int8-moving-per-tensor", 15.0), ("int16x8-keep", 20.0)],
)
def test_a_bias_far_above_its_weights_is_not_cut_off(case: str, decibels: float, results: Any) -> None:
    assert min(results["faded"][case]["sqnr"]) > decibels


def test_sizes_follow_the_weights(results: Any) -> None:
    residual = results["residual"]
    assert residual["w4a8"]["size"] < residual["dynamic-keep"]["size"] < residual["float32"]["size"]
    assert residual["weight-only-int4"]["size"] < residual["weight-only-int8"]["size"]
    assert "int4" in residual["w4a8"]["dtypes"]
    assert "int4" in residual["weight-only-int4"]["dtypes"]


def test_the_same_twice(results: Any) -> None:
    assert results["residual"]["int8"]["digest"] == results["residual"]["int8-again"]["digest"]


def test_io_is_as_asked(results: Any) -> None:
    residual = results["residual"]
    for case in ("int8-float-io", "int8-keep-float-io", "weight-only-int8", "w4a8", "float16"):
        assert residual[case]["inputs"] == residual[case]["outputs"] == ["float32"]
    assert residual["int16x8"]["inputs"] == residual["int16x8-keep"]["outputs"] == ["int16"]


def test_one_scale_a_channel_unless_told_otherwise(results: Any) -> None:
    for one, many in (("int8-per-tensor", "int8"), ("int8-moving-per-tensor", "int8-moving")):
        assert results["residual"][one]["scales"] == 1
        assert results["residual"][many]["scales"] == 8


def test_kept_layers_stay_in_float_and_others_do_not(results: Any) -> None:
    assert results["residual"]["int8-keep"]["float_ops"] == ["branch"]
    assert results["residual"]["int8-keep-float-io"]["float_ops"] == ["stem"]
    assert set(results["attention"]["int8-keep"]["float_ops"]) > {"mha", "ln"}
    assert all(each.startswith(("mha", "ln")) for each in results["attention"]["int8-keep"]["float_ops"])
    assert set(results["lstm"]["int8-keep"]["float_ops"]) == {"lstm"}
    assert min(results["attention"]["int8-keep"]["sqnr"]) > INT8_DB


def test_layers_are_named_as_in_keras_and_alike_in_every_file(results: Any) -> None:
    expected = ["stem", "branch", "add", "pool", "head"]
    residual = results["residual"]
    assert residual["int8"]["layers"] == expected
    for case in ("float32", "int8", "int8-float-io", "int8-moving", "int8-keep", "w4a8"):
        assert list(residual[case]["by_layer"]) == expected
    kinds = {layer: kind for layer, (kind, _) in residual["int8"]["by_layer"].items()}
    assert kinds == {
        "stem": "CONV_2D",
        "branch": "CONV_2D",
        "add": "ADD",
        "pool": "MEAN",
        "head": "FULLY_CONNECTED",
    }
    assert all(20 < decibels < 60 for _, decibels in residual["int8"]["by_layer"].values())
    assert "block/inner" in results["nested"]["int8"]["layers"]


def test_order_is_the_signature_s(results: Any) -> None:
    """Keras sorts the keys: alpha before zulu, narrow before wide."""
    for case in ("float32", "int8", "int8-keep"):
        assert results["two_inputs"][case]["shapes"] == [[1, 3], [1, 4], [1, 2], [1, 6]]
        assert min(results["two_inputs"][case]["sqnr"]) > INT8_DB
    assert results["two_heads"]["int8"]["shapes"] == [[1, 8, 8, 3], [1, 3], [1, 2]]


def test_a_network_without_a_kernel_is_refused_by_the_layer_s_name(results: Any) -> None:
    for case in ("float32", "int8"):
        assert results["no_kernel"][case]["refused"] == (
            "TensorFlow can't convert the model: layer 'erfinv': "
            "'tf.Erfinv' op is neither a custom op nor a flex op"
        )


def test_keep_of_no_layer_is_refused(results: Any) -> None:
    assert results["residual"]["int8-keep-none"]["refused"] == (
        "keep=brunch: the model has no such layer; it has stem, branch, add, pool, head"
    )


def test_a_subclassed_model_is_refused_with_what_to_do(results: Any) -> None:
    message, reason = results["safety"]["subclassed"]
    assert reason == refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL
    assert "(Mine) is of a class that is not part of Keras" in message
    assert message.endswith("or write it with model.export('folder') and give that SavedModel")


def test_too_many_weights_are_refused(results: Any) -> None:
    message, reason = results["safety"]["too_large"]
    assert reason == refusal_pb2.REFUSAL_REASON_TOO_LARGE
    assert message.startswith("plain.keras: its weights take 60 bytes")
