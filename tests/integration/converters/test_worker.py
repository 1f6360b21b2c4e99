"""Real models through a real worker process: TensorFlow converts, LiteRT runs."""

from __future__ import annotations

import hashlib
import multiprocessing
import zipfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from edgemeter_converters import golden, models, recipes
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.exchange import SharedFolder
from edgemeter_converters.formats.quantization import restore, store
from edgemeter_converters.identity import installed_versions, tool_versions
from edgemeter_converters.messages import (
    DatasetReport,
    DatasetRequest,
)
from edgemeter_converters.worker import (
    inspect_dataset,
)
from edgemeter_protos.v1 import refusal_pb2, variant_pb2
from tests.integration.converters.worker_requests import DATA, Built, exchange, inspected, request, run

pytestmark = [pytest.mark.slow, pytest.mark.needs_tensorflow]

RECIPES = ["float32", "float16", "dynamic", "int8", "int16x8"]
INTEGER = {"int8": "int8", "int16x8": "int16"}


@pytest.fixture(scope="module")
def built(
    networks: Path, worker: ProcessPoolExecutor, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Built]:
    out_dir = tmp_path_factory.mktemp("variants")
    return {recipe: run(worker, request(networks, out_dir, recipe, "patterns.keras")) for recipe in RECIPES}


@pytest.fixture(scope="module")
def data(networks: Path, tmp_path_factory: pytest.TempPathFactory) -> DatasetReport:
    out_dir = tmp_path_factory.mktemp("data")
    asked = DatasetRequest(
        exchange=exchange(networks, out_dir, "patterns.keras"), digest=DATA, file_name="patterns.npz"
    )
    return inspect_dataset(asked)


@pytest.mark.parametrize("recipe", RECIPES)
def test_manifest_describes_the_artifact(recipe: str, built: dict[str, Built], data: DatasetReport) -> None:
    report, manifest = built[recipe].report, built[recipe].manifest
    artifact = Path(report.artifact.path).read_bytes()
    assert manifest.recipe == f"{recipe}@tflite"
    assert (manifest.format, manifest.task, manifest.seed) == ("tflite", "classification", 5)
    assert manifest.artifact_digest == hashlib.sha256(artifact).hexdigest()
    assert manifest.size_bytes == len(artifact)
    assert 0 < manifest.compressed_size_bytes < manifest.size_bytes
    assert manifest.conversion_duration_ns > 0
    assert dict(manifest.tool_versions) == tool_versions(recipes.parse(recipe), "keras", installed_versions())
    calibrated = recipe in INTEGER
    assert manifest.calibration_digest == (data.calibration_digest if calibrated else "")
    assert list(manifest.notes) == []


@pytest.mark.parametrize("recipe", RECIPES)
def test_signature_is_a_batch_of_one(recipe: str, built: dict[str, Built]) -> None:
    signature = built[recipe].manifest.signature
    (taken,), (given,) = signature.inputs, signature.outputs
    assert (list(taken.shape), list(given.shape)) == ([1, 12, 12, 1], [1, 10])
    assert taken.dtype == given.dtype == INTEGER.get(recipe, "float32")
    assert taken.HasField("quantization") == given.HasField("quantization") == (recipe in INTEGER)


@pytest.mark.parametrize("recipe", RECIPES)
def test_golden_pair_reproduces(recipe: str, built: dict[str, Built]) -> None:
    """As an agent checks it: a fresh interpreter in this process, one sample at a time."""
    report, manifest = built[recipe].report, built[recipe].manifest
    golden_file = Path(report.golden.path).read_bytes()
    assert manifest.golden.digest == hashlib.sha256(golden_file).hexdigest()
    with np.load(report.golden.path) as pair:
        inputs, outputs = pair["input_0"], pair["output_0"]
    assert (inputs.shape, inputs.dtype) == ((golden.RULE.samples, 12, 12, 1), np.float32)
    assert (outputs.shape, outputs.dtype) == ((golden.RULE.samples, 10), np.float32)
    interpreter = Interpreter(model_path=report.artifact.path, num_threads=1)
    interpreter.allocate_tensors()
    place, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    for sample, expected in zip(inputs, outputs, strict=True):
        interpreter.set_tensor(place["index"], store(sample[None], manifest.signature.inputs[0]))
        interpreter.invoke()
        actual = restore(interpreter.get_tensor(result["index"]), manifest.signature.outputs[0])[0]
        allowed = manifest.golden.absolute_tolerance + manifest.golden.relative_tolerance * np.abs(expected)
        assert (np.abs(actual - expected) <= allowed).all()
        # The tolerance would catch another class's scores.
        assert (np.abs(actual[::-1] - expected) > allowed).any()


def test_sizes_follow_the_precision(built: dict[str, Built]) -> None:
    size = {recipe: built[recipe].manifest.size_bytes for recipe in RECIPES}
    assert size["float16"] < 0.6 * size["float32"]
    assert size["int8"] < 0.4 * size["float32"]
    assert size["dynamic"] < 0.4 * size["float32"]
    assert size["int8"] < size["int16x8"] < size["float16"]


def test_parameters_are_counted_in_the_artifact(built: dict[str, Built]) -> None:
    # Of the model's 21,706 the four vectors of batch normalization fold into one bias.
    for recipe in RECIPES:
        manifest = built[recipe].manifest
        assert manifest.parameters == 21_706 - 4 * 12 + 12
        assert 0.9 * manifest.parameters < manifest.non_zero_parameters <= manifest.parameters


def test_quality_is_learnt_and_kept(built: dict[str, Built]) -> None:
    baseline = built["float32"].manifest.quality
    assert (baseline.metric, baseline.samples) == ("top1", 300)
    assert 0.8 < baseline.value <= 1
    assert baseline.ci95_low < baseline.value < baseline.ci95_high
    for recipe in RECIPES:
        assert built[recipe].manifest.quality.value == pytest.approx(baseline.value, abs=0.03)


def test_dynamic_is_not_for_tflite_runtime(built: dict[str, Built]) -> None:
    assert [each.runtime for each in built["dynamic"].manifest.runtimes] == ["litert"]
    assert [each.runtime for each in built["int8"].manifest.runtimes] == ["litert", "tflite-runtime"]


def test_another_process_makes_the_same_artifacts_and_writes_only_to_the_log(
    networks: Path, built: dict[str, Built], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # Started while this test's output is captured: what it prints would show.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as fresh:
        # In another order than the first time: what a process did before must not matter.
        for recipe in ("int8", "float32"):
            again = run(fresh, request(networks, tmp_path, recipe, "patterns.keras")).manifest
            assert again.artifact_digest == built[recipe].manifest.artifact_digest
            assert again.golden.digest == built[recipe].manifest.golden.digest
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "int8-of-patterns.log").stat().st_size > 0


def test_nothing_is_left_but_what_the_report_names_and_the_log(built: dict[str, Built]) -> None:
    folder = Path(built["int8"].report.artifact.path).parent
    of_int8 = {path.name for path in folder.iterdir() if "int8-of" in path.name}
    assert of_int8 == {
        f"int8-of-patterns.{suffix}"
        for suffix in ("tflite", "tflite.zst", "golden.npz", "reference.npz", "log")
    }
    assert not [path for path in folder.iterdir() if path.is_dir()]


def test_dataset_report(networks: Path, data: DatasetReport) -> None:
    assert dict(data.splits) == {"training": 900, "calibration": 200, "evaluation": 300}
    (spec,) = (variant_pb2.TensorSpec.FromString(each) for each in data.inputs)
    assert (spec.name, spec.dtype, list(spec.shape), data.classes) == ("input_0", "uint8", [12, 12, 1], 10)
    with np.load(networks / "patterns.npz") as arrays, np.load(data.evaluation_inputs.path) as inputs:
        np.testing.assert_array_equal(inputs["input_0"], arrays["x_test"])
    assert data.evaluation_labels is not None
    with np.load(networks / "patterns.npz") as arrays, np.load(data.evaluation_labels.path) as labels:
        np.testing.assert_array_equal(labels["labels"], arrays["y_test"])


@pytest.mark.parametrize(
    ("model", "parameters", "task", "taken", "given"),
    [
        ("patterns.keras", 21_706, "classification", [[-1, 12, 12, 1]], [[-1, 10]]),
        ("plain.h5", 1_450, "classification", [[-1, 12, 12, 1]], [[-1, 10]]),
        ("any_size.keras", 90, "classification", [[-1, -1, -1, 1]], [[-1, 10]]),
        ("two.keras", 25 + 54 + 18, "", [[-1, 3], [-1, 4]], [[-1, 2], [-1, 6]]),
    ],
)
def test_model_report(
    model: str,
    parameters: int,
    task: str,
    taken: list[list[int]],
    given: list[list[int]],
    networks: Path,
    worker: ProcessPoolExecutor,
    tmp_path: Path,
) -> None:
    report = inspected(worker, exchange(networks, tmp_path, model), model)
    signature = variant_pb2.Signature.FromString(report.signature)
    assert (report.framework, report.parameters, report.task) == ("keras", parameters, task)
    assert [list(spec.shape) for spec in signature.inputs] == taken
    assert [list(spec.shape) for spec in signature.outputs] == given


def test_free_dimensions_take_the_data_s_size(
    networks: Path, worker: ProcessPoolExecutor, tmp_path: Path
) -> None:
    manifest = run(worker, request(networks, tmp_path, "int8", "any_size.keras")).manifest
    assert list(manifest.signature.inputs[0].shape) == [1, 12, 12, 1]


def test_inputs_and_outputs_stay_in_the_model_s_order(
    networks: Path, worker: ProcessPoolExecutor, tmp_path: Path
) -> None:
    """Without data: float32 is checked against the original, which another order would fail."""
    manifest = run(worker, request(networks, tmp_path, "float32", "two.keras", data=False)).manifest
    assert [list(spec.shape) for spec in manifest.signature.inputs] == [[1, 3], [1, 4]]
    assert [list(spec.shape) for spec in manifest.signature.outputs] == [[1, 2], [1, 6]]
    assert not manifest.HasField("quality")
    assert list(manifest.notes) == [
        "Built without data: not scored, and its golden inputs are random numbers."
    ]


def test_a_variant_tells_how_far_it_is_from_the_original(built: dict[str, Built]) -> None:
    for recipe in RECIPES:
        manifest = built[recipe].manifest
        assert manifest.macs == built["float32"].manifest.macs > 0
        assert (manifest.agreement.metric, manifest.agreement.samples) == ("agreement", 300)
        assert manifest.agreement.value > 0.95
        assert manifest.output_error.samples == 300
        assert manifest.conversion_peak_rss_bytes > 100_000_000
        assert manifest.deterministic
    decibels = {recipe: built[recipe].manifest.output_error.sqnr_db for recipe in RECIPES}
    assert decibels["float32"] > 100 > decibels["float16"] > decibels["int16x8"] > decibels["int8"] > 15


def test_recurrent_layers_convert(networks: Path, worker: ProcessPoolExecutor, tmp_path: Path) -> None:
    manifest = run(worker, request(networks, tmp_path, "dynamic", "recurrent.keras", data=False)).manifest
    assert list(manifest.signature.outputs[0].shape) == [1, 10]


@pytest.mark.parametrize(
    ("model", "recipe", "with_data", "reason", "message"),
    [
        pytest.param(
            "lambda.keras",
            "int8",
            True,
            refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL,
            "lambda.keras: layer 'twice' (Lambda) runs Python code that the file brings along",
            id="a Lambda layer",
        ),
        pytest.param(
            "lambda.h5",
            "int8",
            True,
            refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL,
            "lambda.h5: layer 'twice' (Lambda) runs Python code that the file brings along",
            id="a Lambda layer in the legacy format",
        ),
        pytest.param(
            "own.keras",
            "int8",
            True,
            refusal_pb2.REFUSAL_REASON_UNSAFE_MODEL,
            "own.keras: layer 'mystery' (Own) is of a class that is not part of Keras",
            id="a layer of its author's",
        ),
        pytest.param(
            "patterns.npz",
            "int8",
            True,
            refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
            "patterns.npz: models are read from .keras, .h5, .zip, ",
            id="another kind of file",
        ),
        pytest.param(
            "recurrent.keras",
            "float32",
            True,
            refusal_pb2.REFUSAL_REASON_SHAPE_MISMATCH,
            "the data has shape (12, 12, 1) a sample, the model takes (12, 12): "
            "drop the last dimension with x[..., 0]",
            id="data of another shape",
        ),
        pytest.param(
            "patterns.keras",
            "int9",
            True,
            refusal_pb2.REFUSAL_REASON_UNKNOWN_RECIPE,
            "unknown recipe 'int9': did you mean 'int8'?",
            id="an unknown recipe",
        ),
        pytest.param(
            "patterns.keras",
            "int8",
            False,
            refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
            "int8@tflite needs calibration samples: give data",
            id="nothing to calibrate with",
        ),
        pytest.param(
            "any_size.keras",
            "float32",
            False,
            refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
            "the model's input 'input_layer_",
            id="free dimensions and no data",
        ),
        pytest.param(
            "sine.keras",
            "int16x8",
            True,
            0,
            "TensorFlow can't convert the model: Quantization to 16x8-bit not yet supported for op: 'SIN'",
            id="an op that the converter refuses",
        ),
    ],
)
def test_refuses(
    model: str,
    recipe: str,
    with_data: bool,
    reason: int,
    message: str,
    networks: Path,
    worker: ProcessPoolExecutor,
    tmp_path: Path,
) -> None:
    asked = request(networks, tmp_path, recipe, model, data=with_data)
    with pytest.raises(ConversionError) as refused:
        run(worker, asked)
    error = refused.value
    assert error.message.startswith(message)
    assert "\n" not in error.message
    assert error.reason == reason
    assert error.log_path == str(tmp_path / f"{asked.variant_id}.log")
    assert not (tmp_path / f"{asked.variant_id}.tflite").exists()


def a_text(path: Path, networks: Path) -> None:
    path.write_text("I am no model.")


def a_zip(path: Path, networks: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "[]")


def no_weights(path: Path, networks: Path) -> None:
    with zipfile.ZipFile(networks / "patterns.keras") as whole, zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", whole.read("config.json"))
        archive.writestr("metadata.json", whole.read("metadata.json"))


def cut_short(path: Path, networks: Path) -> None:
    path.write_bytes((networks / "patterns.keras").read_bytes()[:-1000])


@pytest.mark.parametrize("make", [a_text, a_zip, no_weights, cut_short])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_what_is_no_model_is_refused(
    make: object, suffix: str, networks: Path, worker: ProcessPoolExecutor, tmp_path: Path
) -> None:
    assert callable(make)
    make(tmp_path / "blob", networks)
    blobs = SharedFolder(paths={"net": str(tmp_path / "blob")}, folder=str(tmp_path), checkpoints="")
    with pytest.raises(ConversionError) as refused:
        inspected(worker, blobs, "net", f"net{suffix}")
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_NOT_A_MODEL
    assert refused.value.message.startswith(f"net{suffix}: ")
    assert "\n" not in refused.value.message


def test_what_unpacks_to_too_much_is_refused(
    networks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Refused by the zip's directory, before TensorFlow is imported: so in this process.
    with zipfile.ZipFile(tmp_path / "bomb", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", '{"class_name": "Sequential"}')
        archive.writestr("model.weights.h5", bytes(2_000_000))
    assert (tmp_path / "bomb").stat().st_size < 10_000
    monkeypatch.setattr("edgemeter_converters.models.keras.MAX_BYTES", 1_000_000)
    with pytest.raises(ConversionError, match=r"bomb\.keras: it unpacks to 2,000,028 bytes") as refused:
        models.load(tmp_path / "bomb", "bomb.keras")
    assert refused.value.reason == refusal_pb2.REFUSAL_REASON_TOO_LARGE
