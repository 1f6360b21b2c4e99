"""ONNX in every precision, of torch's, Keras's and ONNX's models, run by ONNX Runtime."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats.format import Encoding, Options
from edgemeter_converters.formats.onnx import ONNX
from edgemeter_converters.formats.onnx_artifact import ONNXArtifact
from edgemeter_converters.models import onnx as onnx_models
from edgemeter_converters.models.model import LoadedModel
from edgemeter_converters.steps import Precision
from tests.integration.converters import onnx_networks as networks

SAMPLES = networks.images(24)

FORMAT = ONNX()

CALIBRATED = (Precision.INT8, Precision.INT16X8)

LEAST_SQNR_DB = {
    Precision.FLOAT32: 100.0,
    Precision.FLOAT16: 55.0,
    Precision.INT16X8: 35.0,
    Precision.WEIGHT_ONLY_INT8: 35.0,
    Precision.INT8: 28.0,
    Precision.DYNAMIC_INT8: 28.0,
    Precision.WEIGHT_ONLY_INT4: 12.0,
}
"""Of untrained networks' outputs: by what the precision's rounding errors are, a layer or a few of them. A
wrong operator gives about 0."""

ODD = {
    "convolutions": [
        "float32",
        "float16",
        "int8",
        "int8-qoperator",
        "int16x8",
        "dynamic",
        "weight-only-int8",
    ],
    "lstm": ["float32", "float16", "dynamic", "weight-only-int8", "weight-only-int4"],
    "gru": ["float32", "weight-only-int8"],
    "attending": ["float32", "float16", "int8", "int8-qoperator", "int16x8", "dynamic", "weight-only-int4"],
    "two-heads": ["float32", "float16", "int8", "int8-qoperator", "int16x8", "dynamic", "weight-only-int8"],
    "keras": ["float32", "int8"],
}

REFUSED = {
    "lstm.int8": "integers of only 205 of the model's 5,645 weights for 'int8', and leaves LSTM in float",
    "gru.dynamic": "leaves GRU in float",
    "eigenvalues.float32": "No ONNX function found for <OpOverload(op='aten.linalg_eig'",
}


def sqnr_db(original: NDArray[Any], encoded: NDArray[Any]) -> float:
    noise = float(np.square(original - encoded).sum())
    return 10 * math.log10(float(np.square(original).sum()) / max(noise, 1e-30))


def load(folder: Path, made: Any) -> LoadedModel:
    path = folder / "blob"
    path.write_bytes(networks.written(made))
    return onnx_models.load(path, "mine.onnx")


def encoding(folder: Path, precision: Precision, samples: NDArray[Any] = SAMPLES, **options: Any) -> Encoding:
    work_dir = folder / f"work-{sum(1 for _ in folder.iterdir())}"
    work_dir.mkdir()
    return Encoding(
        precision=precision,
        options=Options(**options),
        input_shapes=(samples.shape[1:],),
        calibration=(samples,) if precision in CALIBRATED else (),
        work_dir=work_dir,
    )


def encoded(
    folder: Path, made: Any, precision: Precision, samples: NDArray[Any] = SAMPLES, **options: Any
) -> ONNXArtifact:
    asked = encoding(folder, precision, samples, **options)
    return FORMAT.open(FORMAT.encode(load(folder, made), asked))


def operators(artifact: ONNXArtifact) -> list[str]:
    return [node.op_type for node in artifact.model.graph.node]


@pytest.mark.parametrize("precision", [each for each in Precision if each in FORMAT.precisions])
def test_an_onnx_model_in_every_precision(precision: Precision, tmp_path: Path) -> None:
    model = load(tmp_path, networks.convolutional())
    artifact = FORMAT.open(FORMAT.encode(model, encoding(tmp_path, precision)))
    (taken,), (given,) = artifact.signature.inputs, artifact.signature.outputs
    assert (taken.name, taken.dtype, list(taken.shape)) == ("image", "float32", [1, 3, 10, 10])
    assert (given.name, given.dtype, list(given.shape)) == ("scores", "float32", [1, 4])
    (original,) = onnx_models.predict(model.network, [SAMPLES])
    (scores,) = artifact.run([SAMPLES])
    assert (str(scores.dtype), scores.shape) == ("float32", (24, 4))
    assert sqnr_db(original, scores) > LEAST_SQNR_DB[precision]
    assert sqnr_db(original, artifact.run_reference([SAMPLES])[0]) > LEAST_SQNR_DB[precision]
    assert artifact.parameters == networks.CONVOLUTIONAL_WEIGHTS
    assert 0.9 * artifact.parameters < artifact.non_zero_parameters <= artifact.parameters


def test_layers_are_seen_by_one_name_in_every_precision(tmp_path: Path) -> None:
    made = networks.convolutional()
    theirs = encoded(tmp_path, made, Precision.FLOAT32).run_layers([SAMPLES])
    assert [(name, kind) for name, (kind, _) in theirs.items()] == [
        ("stem", "Conv"),
        ("depth", "Conv"),
        ("head", "Gemm"),
    ]
    assert theirs["stem"][1].shape == (24, 8, 10, 10)
    # Behind its activation.
    assert theirs["stem"][1].min() == 0
    for precision in FORMAT.precisions:
        for written in ("qdq", "qoperator") if precision is Precision.INT8 else ("qdq",):
            ours = encoded(tmp_path, made, precision, operators=written).run_layers([SAMPLES])
            assert list(ours) == list(theirs)
            for name, (_, outputs) in ours.items():
                assert sqnr_db(theirs[name][1], outputs) > LEAST_SQNR_DB[precision], (precision, name)


def test_kept_layers_are_left_in_float(tmp_path: Path) -> None:
    made = networks.convolutional()
    asked = encoding(tmp_path, Precision.INT8)
    assert FORMAT.layers(load(tmp_path, made), asked) == ("stem", "depth", "head")
    assert FORMAT.layers(load(tmp_path, made), encoding(tmp_path, Precision.FLOAT16)) == ()
    for precision in (Precision.INT8, Precision.DYNAMIC_INT8, Precision.WEIGHT_ONLY_INT8):
        floats = {
            keep: {
                tensor.name
                for tensor in encoded(tmp_path, made, precision, keep=keep).model.graph.initializer
                if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 4
            }
            for keep in ((), ("stem",), ("*e*",))
        }
        kernels = {keep: len(names) for keep, names in floats.items()}
        # A dynamic convolution's bias is added as 1 x channels x 1 x 1, by a reshape.
        assert kernels == {(): 0, ("stem",): 1, ("*e*",): 2}, precision
    all_kept = encoded(tmp_path, made, Precision.INT8, keep=("*",))
    assert "QuantizeLinear" not in operators(all_kept)
    np.testing.assert_allclose(
        all_kept.run([SAMPLES])[0], encoded(tmp_path, made, Precision.FLOAT32).run([SAMPLES])[0], atol=1e-5
    )


def test_int8_is_written_either_way(tmp_path: Path) -> None:
    made = networks.convolutional()
    pairs = encoded(tmp_path, made, Precision.INT8)
    assert {"QuantizeLinear", "DequantizeLinear", "Conv", "Gemm"} <= set(operators(pairs))
    # Merged into the layers before.
    assert "Relu" not in operators(pairs)
    linear = encoded(tmp_path, made, Precision.INT8, operators="qoperator")
    assert {"QLinearConv", "QGemm", "QLinearAdd"} <= set(operators(linear))
    assert "Conv" not in operators(linear)


def test_scales_are_one_a_channel_or_one_a_tensor(tmp_path: Path) -> None:
    for per_tensor, sizes in ((False, {8, 4}), (True, {1})):
        artifact = encoded(tmp_path, networks.convolutional(), Precision.INT8, per_tensor=per_tensor)
        tensors = {each.name: each for each in artifact.model.graph.initializer}
        scales = {
            numpy_helper.to_array(tensors[node.input[1]]).size
            for node in artifact.model.graph.node
            if node.op_type == "DequantizeLinear" and node.input[0] in tensors
        }
        assert scales == sizes


def test_calibration_methods_differ_and_all_work(tmp_path: Path) -> None:
    made = networks.convolutional()
    model = load(tmp_path, made)
    (original,) = onnx_models.predict(model.network, [SAMPLES])
    digests = set()
    for method in ("min-max", "moving-average", "percentile", "entropy"):
        artifact = encoded(tmp_path, made, Precision.INT8, calibration_method=method)
        # The mean of samples' extremes clips a good deal of so small a network's values.
        assert sqnr_db(original, artifact.run([SAMPLES])[0]) > (10 if method == "moving-average" else 20)
        digests.add(hashlib.sha256(artifact.content).hexdigest())
    assert len(digests) == 4
    usual = encoded(tmp_path, made, Precision.INT8)
    assert usual.content == encoded(tmp_path, made, Precision.INT8, calibration_method="min-max").content


def test_an_activation_that_cannot_be_merged_stays(tmp_path: Path) -> None:
    """Left out, negative numbers would go through: of a value that something else reads as well, and behind
    an operator without a range of its own."""
    made = networks.model(
        [
            helper.make_node("Gemm", ["in", "w"], ["hidden"], name="first"),
            helper.make_node("Relu", ["hidden"], ["positive"], name="relu"),
            helper.make_node("Add", ["hidden", "positive"], ["sum"], name="both"),
            helper.make_node("Reshape", ["sum", "shape"], ["shaped"], name="reshape"),
            helper.make_node("Relu", ["shaped"], ["clipped"], name="relu2"),
            helper.make_node("Gemm", ["clipped", "v"], ["out"], name="second"),
        ],
        [networks.value("in", ["n", 6])],
        [networks.value("out", ["n", 3])],
        {
            "w": networks.constant(1, 6, 8),
            "v": networks.constant(2, 8, 3),
            "shape": np.array([-1, 8], np.int64),
        },
    )
    samples = networks.constant(3, 24, 6)
    model = load(tmp_path, made)
    (original,) = onnx_models.predict(model.network, [samples])
    for written in ("qdq", "qoperator"):
        artifact = encoded(tmp_path, made, Precision.INT8, samples, operators=written)
        assert sqnr_db(original, artifact.run([samples])[0]) > 28, written


def test_models_of_old_opsets_are_quantized_too(tmp_path: Path) -> None:
    made = networks.convolutional(opset=11)
    model = load(tmp_path, made)
    (original,) = onnx_models.predict(model.network, [SAMPLES])
    for precision in (Precision.FLOAT32, Precision.INT8, Precision.WEIGHT_ONLY_INT4):
        artifact = encoded(tmp_path, made, precision)
        assert sqnr_db(original, artifact.run([SAMPLES])[0]) > LEAST_SQNR_DB[precision]
        assert {"stem", "depth", "head"} <= set(artifact.run_layers([SAMPLES[:2]]))


def refusal(folder: Path, made: Any, precision: Precision) -> str:
    with pytest.raises(ConversionError) as caught:
        encoded(folder, made, precision)
    assert "\n" not in caught.value.message
    return caught.value.message


def test_what_cannot_be_encoded_is_refused_by_name(tmp_path: Path) -> None:
    newest = networks.convolutional(opset=24)
    newest.ir_version = 12
    assert "ONNX opset 24, and ONNX Runtime on boards reads up to 23" in refusal(
        tmp_path, newest, Precision.FLOAT32
    )
    twice = encoded(tmp_path, networks.convolutional(), Precision.INT8).model
    assert "quantized already: node" in refusal(tmp_path, twice, Precision.INT8)
    half = networks.convolutional()
    for tensor in half.graph.initializer:
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name)
        )
    for end in (*half.graph.input, *half.graph.output):
        end.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    assert "weight 'depth.w' is float16: give the float32 model" in refusal(tmp_path, half, Precision.INT8)
    weightless = networks.model(
        [helper.make_node("Sigmoid", ["image"], ["scores"])],
        [networks.value("image", ["n", 3, 10, 10])],
        [networks.value("scores", ["n", 3, 10, 10])],
        {},
    )
    for precision in (Precision.INT8, Precision.DYNAMIC_INT8):
        assert "has nothing to quantize in the model" in refusal(tmp_path, weightless, precision)
    assert "no layer of the model has float32 weights" in refusal(
        tmp_path, weightless, Precision.WEIGHT_ONLY_INT4
    )


def test_outputs_need_their_batch_first(tmp_path: Path) -> None:
    made = networks.model(
        [helper.make_node("Transpose", ["in"], ["out"], perm=[1, 0])],
        [networks.value("in", ["n", 6])],
        [networks.value("out", [6, "n"])],
        {},
    )
    with pytest.raises(ConversionError, match=r"output 'out' has shape \[6, 1\] for one sample"):
        onnx_models.predict(load(tmp_path, made).network, [networks.constant(1, 3, 6)])


BUILD = """
import sys
from pathlib import Path
from edgemeter_converters.formats.onnx import ONNX
from tests.integration.converters import test_onnx_format as tests
folder = Path(sys.argv[1])
for precision in sorted(ONNX.precisions, key=lambda each: each.value):
    for written in ("qdq", "qoperator"):
        if written == "qoperator" and precision.value != "int8":
            continue
        artifact = tests.encoded(folder, tests.networks.convolutional(), precision, operators=written)
        print(precision.value, written, tests.hashlib.sha256(artifact.content).hexdigest(), file=sys.stderr)
"""


def test_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    """Whatever order Python gives to sets of strings."""
    told = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        folder.mkdir()
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", BUILD, str(folder)],
            capture_output=True,
            text=True,
            timeout=200,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        assert done.returncode == 0, done.stderr
        told.append([line for line in done.stderr.splitlines() if " qdq " in line or " qoperator " in line])
    assert len(told[0]) == len(FORMAT.precisions) + 1
    assert told[0] == told[1]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that make_onnx_files.py wrote."""
    folder = tmp_path_factory.mktemp("onnx-files")
    maker = Path(__file__).with_name("make_onnx_files.py")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(maker), str(folder)], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr
    return folder


def arrays(path: Path, stem: str) -> list[NDArray[Any]]:
    with np.load(path) as held:
        return [held[name] for name in sorted(held.files) if name.startswith(stem)]


@pytest.mark.slow
@pytest.mark.needs_torch
@pytest.mark.parametrize("name", list(ODD))
def test_odd_networks_compute_what_torch_does(name: str, files: Path) -> None:
    inputs, outputs = arrays(files / f"{name}.npz", "input"), arrays(files / f"{name}.npz", "output")
    for title in ODD[name]:
        content = (files / f"{name}.{title}.onnx").read_bytes()
        artifact = FORMAT.open(content)
        assert [list(spec.shape) for spec in artifact.signature.inputs] == [
            [1, *each.shape[1:]] for each in inputs
        ]
        assert [spec.dtype for spec in artifact.signature.inputs] == [each.dtype.name for each in inputs]
        least = LEAST_SQNR_DB[Precision(title.removesuffix("-qoperator"))]
        for expected, given in zip(outputs, artifact.run(inputs), strict=True):
            assert expected.shape == given.shape
            assert sqnr_db(expected, given) > least, (title, sqnr_db(expected, given))


@pytest.mark.slow
@pytest.mark.needs_torch
@pytest.mark.parametrize("name", list(REFUSED))
def test_what_can_do_no_good_is_refused_with_the_reason(name: str, files: Path) -> None:
    assert REFUSED[name] in (files / f"{name}.refused").read_text()
    assert not (files / f"{name}.onnx").exists()


@pytest.mark.slow
@pytest.mark.needs_torch
def test_layers_have_the_names_of_torchs_modules(files: Path) -> None:
    convolutions = json.loads((files / "convolutions.json").read_text())
    assert convolutions["int8"] == ["stem", "depth", "grouped", "point", "up", "head"]
    attending = json.loads((files / "attending.json").read_text())
    assert {"embedding", "encoder.linear1", "encoder.linear2", "encoder.norm2", "head"} <= set(
        attending["int8"]
    )
    lstm = json.loads((files / "lstm.json").read_text())
    assert lstm["dynamic"] == ["rnn", "head"]


@pytest.mark.slow
@pytest.mark.needs_torch
def test_files_load_where_older_runtimes_are(files: Path) -> None:
    """ONNX Runtime 1.17 reads up to opset 20 and IR version 9; 1.23 up to 23 and 11."""
    for path in files.glob("*.onnx"):
        model = onnx.load(path)
        (version,) = (each.version for each in model.opset_import if not each.domain)
        newer = any(name in path.name for name in ("int16x8", "weight-only"))
        assert (version, model.ir_version) <= ((21, 10) if newer else (18, 8)), path.name
        assert {each.domain for each in model.opset_import} <= {"", "com.microsoft"}
        assert not any(node.metadata_props or node.doc_string for node in model.graph.node)


@pytest.mark.slow
@pytest.mark.needs_torch
def test_kerass_batch_normalization_is_merged(files: Path) -> None:
    kinds = operators(FORMAT.open((files / "keras.float32.onnx").read_bytes()))
    assert kinds.count("Conv") == 2
    assert not {"Sub", "Mul", "BatchNormalization"} & set(kinds)
