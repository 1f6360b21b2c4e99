"""The agent's ONNX Runtime against ONNX's reference implementation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgemeter_agent.runtimes import kind, loader

RANDOM = np.random.RandomState(4)
WEIGHTS = RANDOM.standard_normal((6, 5)).astype(np.float32)
SAMPLE = RANDOM.standard_normal((1, 6)).astype(np.float32)


def model(nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: dict[str, Any]) -> Any:
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "made", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def value(name: str, shape: list[int | str], element: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, element, shape)


def dense(batch: int | str = 1, element: int = TensorProto.FLOAT) -> Any:
    dtype = helper.tensor_dtype_to_np_dtype(element)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["product"]),
        helper.make_node("Relu", ["product"], ["y"]),
    ]
    ends = [value("x", [batch, 6], element)], [value("y", [batch, 5], element)]
    return model(nodes, *ends, {"w": WEIGHTS.astype(dtype)})


def quantized() -> Any:
    """Quantize/Dequantize pairs around a product of int8 weights."""
    scale = np.float32(np.abs(WEIGHTS).max() / 127)
    integers = np.rint(WEIGHTS / scale).astype(np.int8)

    def pair(source: str, target: str) -> list[Any]:
        return [
            helper.make_node("QuantizeLinear", [source, f"{source}_scale", "middle"], [f"{source}_q"]),
            helper.make_node("DequantizeLinear", [f"{source}_q", f"{source}_scale", "middle"], [target]),
        ]

    nodes = [
        *pair("x", "x_seen"),
        helper.make_node("DequantizeLinear", ["w", "w_scale", "zero"], ["w_seen"]),
        helper.make_node("MatMul", ["x_seen", "w_seen"], ["product"]),
        *pair("product", "y"),
    ]
    weights = {
        "w": integers,
        "w_scale": scale,
        "zero": np.int8(0),
        "middle": np.uint8(128),
        "x_scale": np.float32(np.abs(SAMPLE).max() / 127),
        "product_scale": np.float32(0.05),
    }
    return model(nodes, [value("x", [1, 6])], [value("y", [1, 5])], weights)


def loaded(folder: Path, made: Any, threads: int = 1) -> Any:
    path = folder / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return loader(kind("onnxruntime"))(str(path), threads)


def test_float32_is_what_the_reference_computes(tmp_path: Path) -> None:
    made = dense()
    runtime = loaded(tmp_path, made)
    runtime.prepare([SAMPLE])
    runtime.query()
    (output,) = runtime.outputs()
    assert output.dtype == np.float32
    np.testing.assert_allclose(output, ReferenceEvaluator(made).run(None, {"x": SAMPLE})[0], rtol=1e-5)
    (taken,), (given,) = runtime.signature.inputs, runtime.signature.outputs
    assert (taken.name, taken.dtype, list(taken.shape)) == ("x", "float32", [1, 6])
    assert (given.name, given.dtype, list(given.shape)) == ("y", "float32", [1, 5])


def test_int8_is_what_the_reference_computes_to_a_step(tmp_path: Path) -> None:
    made = quantized()
    runtime = loaded(tmp_path, made)
    runtime.prepare([SAMPLE])
    runtime.query()
    (output,) = runtime.outputs()
    expected = ReferenceEvaluator(made).run(None, {"x": SAMPLE})[0]
    # Half a step may round the other way.
    np.testing.assert_allclose(output, expected, atol=0.0501)
    steps = output / 0.05
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
    assert len(np.unique(output)) > 1


def test_float16_inputs_and_outputs_are_real_values_outside(tmp_path: Path) -> None:
    made = dense(element=TensorProto.FLOAT16)
    runtime = loaded(tmp_path, made)
    assert runtime.signature.inputs[0].dtype == runtime.signature.outputs[0].dtype == "float16"
    runtime.prepare([SAMPLE])
    runtime.query()
    (output,) = runtime.outputs()
    assert output.dtype == np.float32
    np.testing.assert_allclose(output, np.maximum(SAMPLE @ WEIGHTS, 0), rtol=1e-2, atol=1e-2)


def test_a_free_dimension_takes_the_samples(tmp_path: Path) -> None:
    runtime = loaded(tmp_path, dense("batch"))
    assert list(runtime.signature.inputs[0].shape) == [-1, 6]
    for rows in (1, 3):
        samples = np.repeat(SAMPLE, rows, axis=0)
        runtime.prepare([samples])
        runtime.query()
        np.testing.assert_allclose(runtime.outputs()[0], np.maximum(samples @ WEIGHTS, 0), rtol=1e-5)


def test_integers_are_taken_from_real_values_and_outputs_keep_their_order(tmp_path: Path) -> None:
    made = model(
        [
            helper.make_node("Gather", ["table", "rows"], ["picked"]),
            helper.make_node("ReduceSum", ["picked"], ["total"], keepdims=0),
            helper.make_node("ArgMax", ["picked"], ["largest"], axis=-1, keepdims=0),
        ],
        [value("rows", [1, 2], TensorProto.INT64)],
        [value("total", []), value("largest", [1, 2], TensorProto.INT64)],
        {"table": WEIGHTS},
    )
    runtime = loaded(tmp_path, made)
    assert runtime.signature.inputs[0].dtype == "int64"
    runtime.prepare([np.array([[3.0, 0.0]], np.float32)])
    runtime.query()
    total, largest = runtime.outputs()
    assert total == pytest.approx(WEIGHTS[[3, 0]].sum(), rel=1e-5)
    np.testing.assert_array_equal(largest, WEIGHTS[[3, 0]].argmax(-1)[None])
    assert largest.dtype == np.float32


def test_a_query_runs_what_was_prepared_last(tmp_path: Path) -> None:
    runtime = loaded(tmp_path, dense())
    seen = []
    for sample in (SAMPLE, 2 * SAMPLE):
        runtime.prepare([sample])
        for _ in range(3):
            runtime.query()
        seen.append(runtime.outputs()[0])
    np.testing.assert_allclose(seen[1], 2 * seen[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([], "takes 1 inputs, and 0 were given"),
        ([SAMPLE[:, :5]], r"input 0 \(x\) takes shape \[1, 6\], and \[1, 5\] was given"),
        ([SAMPLE[0]], "takes shape"),
    ],
)
def test_what_does_not_fit_is_refused(inputs: list[Any], said: str, tmp_path: Path) -> None:
    runtime = loaded(tmp_path, dense())
    with pytest.raises(ValueError, match=said):
        runtime.prepare(inputs)


def test_text_is_refused(tmp_path: Path) -> None:
    made = model(
        [helper.make_node("Identity", ["x"], ["y"])],
        [value("x", [1], TensorProto.STRING)],
        [value("y", [1], TensorProto.STRING)],
        {},
    )
    with pytest.raises(ValueError, match=r"'x' is a tensor\(string\), which can't be measured"):
        loaded(tmp_path, made)


def test_one_thread_is_one_thread(tmp_path: Path) -> None:
    """ONNX Runtime's pool is as large as it is told: two threads are one more than one."""
    path = tmp_path / "model.onnx"
    path.write_bytes(dense().SerializeToString())
    count = (
        "import os, sys; from edgemeter_agent.runtimes import kind, loader; import numpy as np\n"
        "load = loader(kind('onnxruntime')); before = len(os.listdir('/proc/self/task'))\n"
        "model = load(sys.argv[1], int(sys.argv[2])); model.prepare([np.zeros((1, 6))]); model.query()\n"
        "print(len(os.listdir('/proc/self/task')) - before)"
    )
    started = [
        int(subprocess.check_output([sys.executable, "-c", count, str(path), str(threads)], text=True))
        for threads in (1, 2)
    ]
    assert started == [0, 1]


def test_bench_measures_an_onnx_file(tmp_path: Path) -> None:
    path = tmp_path / "dense.onnx"
    path.write_bytes(dense().SerializeToString())
    command = str(Path(sys.executable).parent / "edgemeter-agent")
    short = ["--blocks", "2", "--min-queries", "20", "--min-duration", "0.02", "--processes", "1"]
    done = subprocess.run(
        [command, "bench", str(path), *short, "--json"],
        capture_output=True,
        text=True,
        timeout=200,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )
    assert done.returncode == 0, done.stderr
    (document,) = json.loads(done.stdout)
    assert document["runtime"]["name"] == "onnxruntime"
    assert document["latency"]["p50_ns"] > 0
