"""Building a variant: convert, run the result, write the manifest. For conversion workers only."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from edgemeter_converters import datasets, models, recipes, tasks
from edgemeter_converters.datasets import Dataset, Inputs, Samples
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats import FORMATS, Artifact, Encoding
from edgemeter_converters.formats.tolerance import largest_difference, tolerance
from edgemeter_converters.identity import tool_versions
from edgemeter_converters.messages import BuildReport, BuildRequest
from edgemeter_converters.models import LoadedModel
from edgemeter_converters.recipes import Recipe
from edgemeter_converters.steps import Precision
from edgemeter_protos.v1 import refusal_pb2, variant_pb2

GOLDEN_SAMPLES = 4

COMPARED_SAMPLES = 32
"""Run on two sets of kernels, to see how far honest runtimes differ on this artifact."""

COMPRESSION_LEVEL = 19
"""zstd's highest level that every decompressor takes without being told."""

_ORIGINAL_SHARE = 1e-3
"""How far a float32 artifact may be from the original model, as a share of the outputs' range: a hundred
times what reordered sums and folded batch normalization do to 24-bit significands, far below a wrong op."""


def build(
    request: BuildRequest, recipe: Recipe, model: LoadedModel, dataset: Dataset | None, work_dir: Path
) -> BuildReport:
    """Writes artifact and golden pair into the request's folder and returns the manifest.

    Args:
        dataset: None for none: nothing is scored, and the golden inputs are random.
        work_dir: an empty folder, for the converter.

    Raises:
        ConversionError: the data does not fit the model, the converter refuses it, or what it made is wrong.
    """
    format_, precision = FORMATS[recipe.format], recipes.precision(recipe)
    evaluation = _evaluation(model, dataset, request.seed)
    calibration = _calibration(recipe, dataset)
    started_ns = time.perf_counter_ns()
    content = format_.encode(
        model,
        Encoding(
            precision=precision,
            input_shapes=tuple(array.shape[1:] for array in evaluation.inputs),
            calibration=_cast(model, calibration),
            work_dir=work_dir,
        ),
    )
    duration_ns = time.perf_counter_ns() - started_ns

    artifact = format_.open(content)
    stem = Path(request.out_dir) / request.variant_id
    artifact_path, golden_path = stem.with_suffix(format_.suffix), stem.with_suffix(".golden.npz")
    golden = _write_golden(golden_path, artifact, model, precision, evaluation.inputs)
    artifact_path.write_bytes(content)
    manifest = variant_pb2.Manifest(
        variant_id=request.variant_id,
        model_digest=request.model_digest,
        recipe=str(recipe),
        format=recipe.format,
        task=tasks.task_of(model.signature),
        artifact_digest=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        compressed_size_bytes=len(zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(content)),
        parameters=artifact.parameters,
        non_zero_parameters=artifact.non_zero_parameters,
        signature=artifact.signature,
        golden=golden,
        quality=_quality(artifact, model, evaluation),
        runtimes=recipes.runtimes(recipe),
        tool_versions=tool_versions(recipe),
        calibration_digest=datasets.inputs_digest(calibration) if calibration else "",
        seed=request.seed,
        conversion_duration_ns=duration_ns,
        notes=_notes(model, dataset),
    )
    return BuildReport(
        manifest=manifest.SerializeToString(deterministic=True),
        artifact_path=str(artifact_path),
        golden_path=str(golden_path),
    )


def _evaluation(model: LoadedModel, dataset: Dataset | None, seed: int) -> Samples:
    if dataset is not None:
        specs = datasets.input_specs(dataset.evaluation.inputs)
        datasets.check_fits(model.signature, specs, dataset.classes)
        return dataset.evaluation
    free = [spec.name for spec in model.signature.inputs if -1 in spec.shape[1:]]
    if free:
        raise ConversionError(
            f"the model's input {free[0]!r} has a dimension of any size: give data, whose size it then takes",
            reason=refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
        )
    random = np.random.RandomState(seed % 2**32)
    shapes = [(COMPARED_SAMPLES, *spec.shape[1:]) for spec in model.signature.inputs]
    # In [0, 1): an integer input gets zeros, which are in range whatever they index.
    return Samples(inputs=_cast(model, tuple(random.random_sample(shape) for shape in shapes)))


def _calibration(recipe: Recipe, dataset: Dataset | None) -> Inputs:
    if not recipes.needs_calibration(recipe):
        return ()
    if dataset is None:
        raise ConversionError(
            f"{recipe} needs calibration samples: give data", reason=refusal_pb2.REFUSAL_REASON_BAD_REQUEST
        )
    if len(dataset.calibration[0]) == 0:
        raise ConversionError(
            f"{recipe} needs calibration samples, but every training sample is an evaluation sample too",
            reason=refusal_pb2.REFUSAL_REASON_NOT_A_DATASET,
        )
    return dataset.calibration


def _cast(model: LoadedModel, inputs: Inputs) -> Inputs:
    return tuple(array.astype(np.dtype(model.signature.inputs[at].dtype)) for at, array in enumerate(inputs))


def _write_golden(
    path: Path, artifact: Artifact, model: LoadedModel, precision: Precision, evaluation: Inputs
) -> variant_pb2.GoldenPair:
    inputs = _cast(model, tuple(array[:COMPARED_SAMPLES] for array in evaluation))
    outputs = artifact.run(inputs)
    if not all(np.isfinite(output).all() for output in outputs):
        raise ConversionError("the converted model gives NaN or infinity on evaluation samples")
    if precision is Precision.FLOAT32:
        _check_original(model, inputs, outputs)
    steps = [spec.quantization.scale for spec in artifact.signature.outputs if spec.HasField("quantization")]
    disagreement = largest_difference(outputs, artifact.run_reference(inputs))
    allowed = tolerance(precision, outputs, steps, disagreement)
    arrays = {f"input_{at}": array[:GOLDEN_SAMPLES] for at, array in enumerate(inputs)}
    arrays |= {f"output_{at}": array[:GOLDEN_SAMPLES] for at, array in enumerate(outputs)}
    np.savez(path, allow_pickle=False, **arrays)
    return variant_pb2.GoldenPair(
        digest=hashlib.sha256(path.read_bytes()).hexdigest(),
        absolute_tolerance=allowed.absolute,
        relative_tolerance=allowed.relative,
    )


def _check_original(model: LoadedModel, inputs: Inputs, outputs: tuple[NDArray[Any], ...]) -> None:
    original = models.predict(model, inputs)
    difference = largest_difference(outputs, original)
    extent = max((float(np.abs(output).max()) for output in original if output.size), default=0.0)
    if difference > _ORIGINAL_SHARE * max(extent, 1.0):
        raise ConversionError(
            f"the float32 file does not compute what the model does: its outputs are off by up to "
            f"{difference:.3g}, where the model's go up to {extent:.3g}"
        )


def _quality(artifact: Artifact, model: LoadedModel, evaluation: Samples) -> variant_pb2.Quality | None:
    """The task's metric over the whole evaluation split; None where there is no task or no label."""
    name = tasks.task_of(model.signature)
    if not name or evaluation.labels is None:
        return None
    return tasks.task(name).score(artifact.run(evaluation.inputs), evaluation.labels)


def _notes(model: LoadedModel, dataset: Dataset | None) -> list[str]:
    if dataset is None:
        return ["Built without data: not scored, and its golden inputs are random numbers."]
    if dataset.evaluation.labels is None:
        return ["Not scored: the data has no labels for its evaluation samples."]
    if not tasks.task_of(model.signature):
        return ["Not scored: no task fits the model's outputs."]
    return []
