"""The agent's ONNX Runtime against ONNX's reference implementation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgemeter_agent.runtimes import LoadOptions, kind, loader, operators
from edgemeter_agent.runtimes.onnx import NODES_ON_CPU, _nodes

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


def written(folder: Path, made: Any) -> str:
    path = folder / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return str(path)


def loaded(folder: Path, made: Any, **options: Any) -> Any:
    return loader(kind("onnxruntime"))(written(folder, made), LoadOptions(**options))


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
        "import os, sys; from edgemeter_agent.runtimes import LoadOptions, kind, loader; import numpy as np\n"
        "load = loader(kind('onnxruntime')); before = len(os.listdir('/proc/self/task'))\n"
        "model = load(sys.argv[1], LoadOptions(threads=int(sys.argv[2])))\n"
        "model.prepare([np.zeros((1, 6))]); model.query()\n"
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
    assert document["runtime"].split()[0] == "onnxruntime"
    assert document["latency"]["p50_ns"] > 0


@pytest.mark.parametrize("batch", ["batch", 4])
def test_a_batch_goes_through_at_once(batch: int | str, tmp_path: Path) -> None:
    runtime = loaded(tmp_path, dense(batch), batch_size=4)
    assert list(runtime.signature.inputs[0].shape) == [4, 6]
    assert list(runtime.signature.outputs[0].shape) == [4, 5]
    samples = RANDOM.standard_normal((4, 6)).astype(np.float32)
    runtime.prepare([samples])
    runtime.query()
    np.testing.assert_allclose(runtime.outputs()[0], np.maximum(samples @ WEIGHTS, 0), rtol=1e-4, atol=1e-6)
    with pytest.raises(ValueError, match="takes shape"):
        runtime.prepare([samples[:1]])


def test_a_fixed_batch_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^input 0 \(x\) is fixed at 1 samples, and a batch of 4 was asked"):
        loaded(tmp_path, dense(1), batch_size=4)


def test_a_model_that_adds_its_samples_up_is_refused(tmp_path: Path) -> None:
    made = model(
        [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)],
        [value("x", ["batch", 6])],
        [value("y", ["rows", 6])],
        {"axes": np.array([0])},
    )
    with pytest.raises(ValueError, match=r"^output 0 \(y\) is fixed at 1 samples"):
        loaded(tmp_path, made, batch_size=4)


def test_a_model_that_drops_samples_is_found_out_when_it_ran(tmp_path: Path) -> None:
    made = model(
        [helper.make_node("Compress", ["x", "kept"], ["y"], axis=0)],
        [value("x", ["batch", 6])],
        [value("y", ["rows", 6])],
        {"kept": np.array([True, False, True, True])},
    )
    runtime = loaded(tmp_path, made, batch_size=4)
    runtime.prepare([np.repeat(SAMPLE, 4, axis=0)])
    runtime.query()
    with pytest.raises(ValueError, match=r"output 0 has shape \[3, 6\] for a batch of 4"):
        runtime.outputs()


@pytest.mark.parametrize(
    ("accelerator", "said"),
    [
        ("cuda", "this onnxruntime has no CUDAExecutionProvider; it has .*CPUExecutionProvider"),
        ("cuda+cpu", "has no CUDAExecutionProvider"),
        ("tensorrt", "has no TensorrtExecutionProvider"),
        ("xnnpack", "onnxruntime has no accelerator 'xnnpack'; there are cpu, cuda"),
    ],
)
def test_an_accelerator_that_is_not_here_is_refused(accelerator: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said):
        loaded(tmp_path, dense(), accelerator=accelerator)


def test_the_processor_is_what_ran(tmp_path: Path) -> None:
    for accelerator in ("", "cpu"):
        runtime = loaded(tmp_path, dense(), accelerator=accelerator)
        assert runtime.ran_on == "CPUExecutionProvider"
        assert runtime.arena_bytes() is None


def test_onnx_runtime_still_says_and_tells_what_the_loader_reads(tmp_path: Path) -> None:
    """Its Azure provider, in every wheel, takes no node of such a model: all fall to the processor."""
    path = written(tmp_path, dense())
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    other = "AzureExecutionProvider"
    session = onnxruntime.InferenceSession(path, settings, providers=[other], enable_fallback=False)
    assert set(_nodes(session)) == {"CPUExecutionProvider"}
    assert sum(_nodes(session).values()) >= 1
    settings.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    with pytest.raises(Exception, match=NODES_ON_CPU):
        onnxruntime.InferenceSession(path, settings, providers=[other], enable_fallback=False)


def convolutions(count: int) -> Any:
    """A chain of convolutions, then a product."""
    kernels = {
        f"k{at}": RANDOM.standard_normal((16, 16, 3, 3)).astype(np.float32) / 12 for at in range(count)
    }
    nodes = [
        helper.make_node("Conv", [f"t{at}", f"k{at}"], [f"t{at + 1}"], name=f"conv{at}", pads=[1, 1, 1, 1])
        for at in range(count)
    ]
    nodes += [
        helper.make_node("Flatten", [f"t{count}"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "w"], ["y"], name="head"),
    ]
    weights = {**kernels, "w": RANDOM.standard_normal((16 * 32 * 32, 5)).astype(np.float32)}
    return model(nodes, [value("t0", ["batch", 16, 32, 32])], [value("y", ["batch", 5])], weights)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_operators_of_a_real_run(batch_size: int, tmp_path: Path) -> None:
    path = written(tmp_path, convolutions(3))
    sample = RANDOM.standard_normal((1, 16, 32, 32)).astype(np.float32)
    options = LoadOptions(batch_size=batch_size)
    profile = operators.profile("onnxruntime", path, options, [sample], 20, tmp_path)
    assert not profile.unavailable
    assert profile.source == "ONNX Runtime's profiler"
    assert profile.queries == 20
    assert {each.ran_on for each in profile.operators} == {"CPUExecutionProvider"}
    assert all(each.calls_per_query == 1 for each in profile.operators)
    # What else there is, reorders, depends on the processor's kernels; so do names.
    kinds = Counter(each.kind for each in profile.operators)
    assert (kinds["Conv"], kinds["Gemm"], kinds["Flatten"]) == (3, 1, 1)
    assert profile.operators[0].kind == "Conv"
    assert sum(each.share for each in profile.operators) == pytest.approx(1, abs=1e-6)
    spent = sum(each.ns_per_query for each in profile.operators)
    assert 0.2 * profile.query_ns < spent < 1.5 * profile.query_ns
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]


def test_a_profile_of_what_cannot_be_loaded_says_why(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    profile = operators.profile("onnxruntime", str(path), LoadOptions(), [SAMPLE], 5, tmp_path)
    assert profile.unavailable.startswith("onnxruntime's profiler failed: ")
    assert "\n" not in profile.unavailable
    assert not profile.operators
