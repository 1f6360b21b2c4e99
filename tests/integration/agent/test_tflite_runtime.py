"""LiteRT's batches, delegates and operators, on small models that TensorFlow makes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgemeter_agent.runtimes import LoadOptions, kind, loader, operators
from edgemeter_agent.runtimes.operators import litert
from edgemeter_protos.v1 import result_pb2

pytestmark = pytest.mark.needs_tensorflow

# TensorFlow stays out of the test's own process: it would start its threads there.
MAKE_MODELS = """
import sys
import tensorflow as tf

KERNEL = tf.constant(tf.random.stateless_normal([3, 3, 8, 8], [1, 2]) * 0.1)
WEIGHTS = tf.constant(tf.random.stateless_normal([8 * 24 * 24, 10], [1, 3]) * 0.05)


def convolved(x, reshaped):
    features = x
    for _ in range(3):
        features = tf.nn.relu(tf.nn.conv2d(features, KERNEL, 1, "SAME"))
    return tf.nn.softmax(tf.matmul(tf.reshape(features, reshaped), WEIGHTS))


# What XNNPACK has no kernel for in the middle and at the end.
def mixed(x):
    return tf.nn.relu(tf.nn.conv2d(tf.cumsum(tf.nn.conv2d(x, KERNEL, 1, "SAME"), axis=3), KERNEL, 1, "SAME"))


NETS = {
    "free": (lambda x: convolved(x, [-1, 8 * 24 * 24]), None),
    "fixed": (lambda x: convolved(x, [-1, 8 * 24 * 24]), 1),
    # made for one sample
    "frozen": (lambda x: convolved(x, [1, 8 * 24 * 24]), 1),
    "summed": (lambda x: tf.reduce_sum(x, axis=0, keepdims=True), None),
    "mixed": (mixed, None),
    "alone": (lambda x: tf.cumsum(x, axis=3), None),
}

for name, (net, batch) in NETS.items():
    function = tf.function(net, input_signature=[tf.TensorSpec([batch, 24, 24, 8], tf.float32)])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()], function)
    open(sys.argv[1] + f"/{name}.tflite", "wb").write(converter.convert())
    if name == "free":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        random = tf.random.Generator.from_seed(1)
        converter.representative_dataset = lambda: ([random.uniform([1, 24, 24, 8])] for _ in range(5))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        open(sys.argv[1] + "/int8.tflite", "wb").write(converter.convert())
"""

RANDOM = np.random.default_rng(3)
SAMPLES = RANDOM.random((4, 24, 24, 8), np.float32)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tflite")
    done = subprocess.run(
        [sys.executable, "-c", MAKE_MODELS, str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 0, done.stderr
    return folder


def loaded(made: Path, name: str, **options: Any) -> Any:
    return loader(kind("litert"))(str(made / f"{name}.tflite"), LoadOptions(**options))


def ran(model: Any, samples: Any) -> Any:
    model.prepare([samples])
    model.query()
    (output,) = model.outputs()
    return output


@pytest.mark.parametrize("name", ["free", "fixed"])
@pytest.mark.parametrize("accelerator", ["", "cpu"])
def test_a_batch_goes_through_at_once(name: str, accelerator: str, made: Path) -> None:
    """Also where the file says one sample: its operators work on any number."""
    one = loaded(made, name, accelerator=accelerator)
    apart = np.concatenate([ran(one, SAMPLES[at : at + 1]) for at in range(4)])
    together = loaded(made, name, accelerator=accelerator, batch_size=4)
    assert list(together.signature.inputs[0].shape) == [4, 24, 24, 8]
    assert list(together.signature.outputs[0].shape) == [4, 10]
    np.testing.assert_allclose(ran(together, SAMPLES), apart, rtol=1e-4, atol=1e-6)
    assert len(np.unique(apart.round(4), axis=0)) == 4


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("frozen", "the model does not take a batch of 4: "),
        (
            "summed",
            r"output 0 has shape \[1, 24, 24, 8\] for a batch of 4: the model does not keep its samples",
        ),
    ],
)
def test_a_model_for_one_sample_takes_no_batch(name: str, said: str, made: Path) -> None:
    assert ran(loaded(made, name), SAMPLES[:1]).shape[0] == 1
    with pytest.raises(ValueError, match=said) as refused:
        loaded(made, name, batch_size=4)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "accelerator", "told"),
    [
        ("free", "", "CPU (XNNPACK)"),
        ("free", "xnnpack", "CPU (XNNPACK)"),
        ("free", "cpu", "CPU"),
        ("mixed", "", "CPU (XNNPACK: 2 of 3 operators)"),
        ("alone", "", "CPU"),
        ("alone", "cpu", "CPU"),
    ],
)
def test_what_ran_is_told(name: str, accelerator: str, told: str, made: Path) -> None:
    model = loaded(made, name, accelerator=accelerator)
    assert model.ran_on == told
    # Looking changes nothing: the interpreter counts who holds it.
    assert ran(model, SAMPLES[:1]).shape[0] == 1
    assert model.arena_bytes() is None


def test_xnnpack_that_takes_nothing_is_refused(made: Path) -> None:
    with pytest.raises(ValueError, match="XNNPACK takes none of the model's 1 operators, and 'xnnpack' was"):
        loaded(made, "alone", accelerator="xnnpack")


@pytest.mark.parametrize("accelerator", ["cuda", "edgetpu"])
def test_an_accelerator_that_is_not_here_is_refused(accelerator: str, made: Path) -> None:
    with pytest.raises(
        ValueError, match=f"TFLite has no accelerator '{accelerator}'; there are xnnpack, cpu"
    ):
        loaded(made, "free", accelerator=accelerator)


def test_both_kernels_give_the_same(made: Path) -> None:
    by_xnnpack = ran(loaded(made, "mixed"), SAMPLES[:1])
    np.testing.assert_allclose(
        ran(loaded(made, "mixed", accelerator="cpu"), SAMPLES[:1]), by_xnnpack, rtol=1e-3
    )


def profiled(made: Path, work_dir: Path, name: str, **options: Any) -> result_pb2.OperatorProfile:
    profile = operators.profile(
        "litert", str(made / f"{name}.tflite"), LoadOptions(**options), [SAMPLES[:1]], 20, work_dir
    )
    assert not profile.unavailable
    assert profile.queries == 20
    assert sum(each.share for each in profile.operators) == pytest.approx(1, abs=1e-6)
    assert all(each.calls_per_query == 1 for each in profile.operators)
    spent = sum(each.ns_per_query for each in profile.operators)
    assert 0.02 * profile.query_ns < spent < 1.5 * profile.query_ns
    assert not list(work_dir.iterdir())
    return profile


@pytest.mark.parametrize("options", [{}, {"batch_size": 4}, {"threads": 2}])
@pytest.mark.parametrize("name", ["free", "fixed"])
def test_operators_that_xnnpack_ran(name: str, options: dict[str, Any], made: Path, tmp_path: Path) -> None:
    profile = profiled(made, tmp_path, name, **options)
    assert {each.ran_on for each in profile.operators} == {"XNNPACK"}
    kinds = Counter(each.kind.partition(" ")[0] for each in profile.operators)
    assert (kinds["Convolution"], kinds["Fully"], kinds["Softmax"]) == (3, 1, 1)
    assert [each.kind.startswith("Convolution") for each in profile.operators[:3]] == [True] * 3


def test_operators_of_tflites_own_kernels(made: Path, tmp_path: Path) -> None:
    profile = profiled(made, tmp_path, "free", accelerator="cpu")
    assert {each.ran_on for each in profile.operators} == {"CPU"}
    assert Counter(each.kind for each in profile.operators) == {
        "CONV_2D": 3,
        "RESHAPE": 1,
        "FULLY_CONNECTED": 1,
        "SOFTMAX": 1,
    }


def test_operators_of_a_graph_in_parts(made: Path, tmp_path: Path) -> None:
    profile = profiled(made, tmp_path, "mixed")
    assert sorted((each.kind.partition(" ")[0], each.ran_on) for each in profile.operators) == [
        ("CUMSUM", "CPU"),
        ("Convolution", "XNNPACK"),
        ("Convolution", "XNNPACK"),
    ]
    assert len({each.name for each in profile.operators}) == 3


def test_quantized_inputs_reach_the_profiler_as_they_are_stored(made: Path, tmp_path: Path) -> None:
    profile = profiled(made, tmp_path, "int8")
    assert any("QS8" in each.kind or "QC8" in each.kind for each in profile.operators)


def test_another_litert_is_left_alone(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(litert, "version", lambda _distribution: "2.4.1")
    path = str(made / "free.tflite")
    profile = operators.profile("litert", path, LoadOptions(), [SAMPLES[:1]], 5, tmp_path)
    assert profile.unavailable == "this agent knows LiteRT 2.3's profiler, and 2.4.1 is installed"


def test_tflite_runtime_has_no_profiler(made: Path, tmp_path: Path) -> None:
    path = str(made / "free.tflite")
    profile = operators.profile("tflite-runtime", path, LoadOptions(), [SAMPLES[:1]], 5, tmp_path)
    assert profile.unavailable == "tflite-runtime's wheel has no profiler; LiteRT's has"
    assert not profile.operators
