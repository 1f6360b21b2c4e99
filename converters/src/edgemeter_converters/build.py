"""Building a variant: encode, run the result, write the manifest. For conversion workers only."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import zstandard
from numpy.typing import NDArray

from edgemeter_converters import comparison, datasets, golden, keeping, models, recipes, tasks
from edgemeter_converters.datasets import Dataset, Inputs, Samples
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.formats import FORMATS
from edgemeter_converters.formats.format import Artifact, Encoding, Format
from edgemeter_converters.identity import installed_versions, tool_versions
from edgemeter_converters.memory import PeakMemory
from edgemeter_converters.messages import BuildReport, BuildRequest
from edgemeter_converters.models import LoadedModel, llama, llama_generation
from edgemeter_converters.recipes import Recipe
from edgemeter_converters.steps.transform import Progress
from edgemeter_protos import preprocessing
from edgemeter_protos.v1 import refusal_pb2, variant_pb2

COMPRESSION_LEVEL = 19
"""zstd's highest level that every decompressor takes without being told."""

QUICK_COMPRESSION_LEVEL = 3
"""Its usual one."""

MAX_THOROUGH_BYTES = 1 << 26
"""Up to here the highest level takes a minute at most; beyond are language models, and it would take many."""

WORTHWHILE_SAVING = 0.05
"""Share of the artifact's size below which a compressed copy is not worth its place and its time."""

MAX_REFERENCE_BYTES = 1 << 28
"""Of the original's outputs, which travel to the coordinator to be compared with a device's; where they are
more, the manifest says that they are not."""


def build(
    request: BuildRequest,
    *,
    original: LoadedModel,
    model: LoadedModel,
    dataset: Dataset | None,
    work_dir: Path,
    progress: Progress,
) -> BuildReport:
    """Writes artifact, golden pair and, where it pays, the artifact compressed; returns them with the
    manifest.

    Args:
        original: what the variant is compared with.
        model: what the recipe's steps that change the model left of it; what is encoded.
        dataset: None for none: nothing is scored, and the golden inputs are random.
        work_dir: an empty folder, for the converter.

    Raises:
        ConversionError: the data does not fit the model, the converter refuses it, or what it made is wrong.
    """
    recipe = recipes.parse(request.recipe, original.framework)
    refusal = recipes.refusal(recipe, original.framework)
    if refusal:
        raise ConversionError(f"{recipe}: {refusal}", reason=refusal_pb2.REFUSAL_REASON_UNKNOWN_RECIPE)
    format_ = FORMATS[recipe.format]
    evaluation = evaluation_samples(original, request.model.preprocessing, dataset, request.seed)
    calibration = calibration_inputs(recipe, dataset)
    task = request.model.task or tasks.task_of(original.signature)
    encoding = Encoding(
        precision=recipes.precision(recipe),
        options=recipes.options(recipe),
        input_shapes=tuple(array.shape[1:] for array in evaluation.inputs),
        calibration=as_taken(original, request.model.preprocessing, Samples(inputs=calibration)).inputs
        if calibration
        else (),
        work_dir=_folder(work_dir, "encode"),
    )
    memory = PeakMemory()
    started_ns = time.perf_counter_ns()
    bound = recipes.auto_keep(recipe)
    notes: list[str] = []
    if bound is not None:
        trial = keeping.Trial(
            format_=format_,
            model=model,
            encoding=encoding,
            judged=_judged(original, request, dataset),
            work_dir=_folder(work_dir, "trials"),
        )
        keep, note = keeping.choose(trial, bound, progress)
        encoding = replace(encoding, options=replace(encoding.options, keep=keep, keeps_by_itself=False))
        notes.append(note)
    progress(0.0, "encoding")
    content = format_.encode(model, encoding)
    duration_ns = time.perf_counter_ns() - started_ns
    peak_rss_bytes = memory.peak_bytes()

    progress(0.5, "checking and scoring")
    artifact = format_.open(content)
    stem = request.exchange.out_dir() / request.variant_id
    artifact_path, golden_path = stem.with_suffix(format_.suffix), stem.with_suffix(".golden.npz")
    pair = golden.write(golden_path, artifact, model, encoding.precision, evaluation.inputs)
    artifact_path.write_bytes(content)
    compressed = zstandard.ZstdCompressor(level=compression_level(len(content))).compress(content)
    compressed_path = None
    if travels_compressed(len(content), len(compressed)):
        compressed_path = artifact_path.with_name(f"{artifact_path.name}.zst")
        compressed_path.write_bytes(compressed)
    manifest = variant_pb2.Manifest(
        variant_id=request.variant_id,
        model_digest=request.model.digest,
        recipe=str(recipe),
        format=recipe.format,
        task=task,
        artifact_digest=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        compressed_size_bytes=len(compressed),
        compressed_digest=hashlib.sha256(compressed).hexdigest() if compressed_path else "",
        parameters=artifact.parameters,
        non_zero_parameters=artifact.non_zero_parameters,
        signature=artifact.signature,
        golden=pair,
        runtimes=recipes.runtimes(recipe, original.framework),
        tool_versions=tool_versions(recipe, original.framework, installed_versions()),
        calibration_digest=datasets.inputs_digest(calibration) if calibration else "",
        seed=request.seed,
        conversion_duration_ns=duration_ns,
        notes=[*original.notes, *notes, *artifact.notes],
        macs=models.anatomy(model).macs,
        stages=[variant_pb2.Stage.FromString(stage) for stage in request.stages],
        conversion_peak_rss_bytes=peak_rss_bytes,
        # Every format encodes a model into the same bytes. Training on one thread with a seed repeats itself
        # on one machine, and no tool promises more.
        deterministic=not request.stages,
        preprocessing=[variant_pb2.Preprocessing.FromString(each) for each in request.model.preprocessing],
        kept_layers=_kept(format_, model, encoding),
    )
    manifest.attachments.extend(each for stage in manifest.stages for each in stage.attachments)
    reference = _judge(manifest, artifact, original, evaluation, scored=dataset is not None)
    if original.writes_text:
        manifest.generation.CopyFrom(llama_generation.generation(evaluation.inputs[0]))
    if dataset is None:
        manifest.notes.append("Built without data: not scored, and its golden inputs are random numbers.")
    elif not task:
        manifest.notes.append("Not scored: no task fits the model's outputs.")
    elif not manifest.HasField("quality") and evaluation.labels is None:
        manifest.notes.append("Not scored: the data has no labels for its evaluation samples.")
    reference_path = None
    if reference is not None:
        reference_path = artifact_path.with_suffix(".reference.npz")
        np.savez(reference_path, allow_pickle=False, **reference)
        manifest.reference_digest = hashlib.sha256(reference_path.read_bytes()).hexdigest()
    return BuildReport(
        manifest=manifest.SerializeToString(deterministic=True),
        artifact=request.exchange.give(artifact_path),
        golden=request.exchange.give(golden_path),
        compressed=request.exchange.give(compressed_path) if compressed_path else None,
        reference=request.exchange.give(reference_path) if reference_path else None,
    )


def compression_level(size_bytes: int) -> int:
    """zstd's, for a file of that size. Pure."""
    return COMPRESSION_LEVEL if size_bytes <= MAX_THOROUGH_BYTES else QUICK_COMPRESSION_LEVEL


def travels_compressed(size_bytes: int, compressed_size_bytes: int) -> bool:
    """Whether a file is offered compressed too."""
    return size_bytes - compressed_size_bytes >= WORTHWHILE_SAVING * size_bytes > 0


def evaluation_samples(
    original: LoadedModel, steps: Sequence[bytes], dataset: Dataset | None, seed: int
) -> Samples:
    """The data's evaluation samples as the model takes them; random ones, without labels, where there is no
    data.

    Args:
        steps: a serialized `Preprocessing` for each input, or none.

    Raises:
        ConversionError: they don't fit the model, or it has inputs of any size and there is no data.
    """
    if dataset is not None:
        evaluation = as_taken(original, steps, dataset.evaluation)
        specs = datasets.input_specs(evaluation.inputs)
        datasets.check_fits(original.signature, specs, dataset.classes)
        check_vocabulary(original, dataset)
        return evaluation
    free = [spec.name for spec in original.signature.inputs if -1 in spec.shape[1:]]
    if free:
        raise ConversionError(
            f"the model's input {free[0]!r} has a dimension of any size: give data, whose size it then takes",
            reason=refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
        )
    random = np.random.RandomState(seed % 2**32)
    count = golden.rule(original).compared_samples
    if original.writes_text:
        return Samples(inputs=(llama.random_windows(original, count, random),))
    shapes = [(count, *spec.shape[1:]) for spec in original.signature.inputs]
    # In [0, 1): an integer input gets zeros, which are in range whatever they index.
    return Samples(inputs=_cast(original, tuple(random.random_sample(shape) for shape in shapes)))


def check_vocabulary(original: LoadedModel, dataset: Dataset) -> None:
    """Nothing, where the data's token ids mean to the model what they meant when the text was cut.

    Raises:
        ConversionError: SHAPE_MISMATCH.
    """
    if dataset.vocabulary and dataset.vocabulary != models.vocabulary_digest(original):
        raise ConversionError(
            "the data's token ids were made by a tokenizer that does not match the model's: add the text "
            "again with --tokenizer and this model",
            reason=refusal_pb2.REFUSAL_REASON_SHAPE_MISMATCH,
        )


def calibration_inputs(recipe: Recipe, dataset: Dataset | None) -> Inputs:
    """What the recipe's calibration looks at, as in the data; empty where it looks at none.

    Raises:
        ConversionError: there is none to look at.
    """
    count = recipes.calibration_samples(recipe)
    if not count:
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
    return datasets.calibration(dataset, count)


def as_taken(original: LoadedModel, steps: Sequence[bytes], samples: Samples) -> Samples:
    """Samples of the data as the model takes them: preprocessed, in its element types."""
    inputs = samples.inputs
    if steps:
        inputs = tuple(
            preprocessing.apply(variant_pb2.Preprocessing.FromString(step), array)
            for step, array in zip(steps, inputs, strict=True)
        )
    return Samples(inputs=_cast(original, inputs), labels=samples.labels)


def _cast(original: LoadedModel, inputs: Inputs) -> Inputs:
    if len(inputs) != len(original.signature.inputs):
        # check_fits says it in the user's words.
        return inputs
    return tuple(
        array.astype(np.dtype(spec.dtype), copy=False)
        for array, spec in zip(inputs, original.signature.inputs, strict=True)
    )


def _judged(original: LoadedModel, request: BuildRequest, dataset: Dataset | None) -> Samples:
    """Labelled training samples that calibration has not seen: what is chosen by them may still be evaluated
    by the evaluation samples."""
    training = dataset.training if dataset is not None else None
    task = request.model.task or tasks.task_of(original.signature)
    if training is None or training.labels is None or task != "classification":
        raise ConversionError(
            "auto_keep compares quality, which takes labelled training samples of a classification",
            reason=refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
        )
    assert dataset is not None
    unseen = keeping.unseen(training, dataset.calibration)
    if not len(unseen):
        raise ConversionError("auto_keep: every training sample calibrates, and none is left to judge by")
    return as_taken(original, request.model.preprocessing, unseen)


def _judge(
    manifest: variant_pb2.Manifest,
    artifact: Artifact,
    original: LoadedModel,
    evaluation: Samples,
    *,
    scored: bool,
) -> dict[str, NDArray[np.float32]] | None:
    """Adds what the variant does with the whole evaluation split: every metric of its task, and how far its
    outputs are from the original's. Returns those where a device's will be held against them too.

    Args:
        scored: whether the samples are data; else nothing but the original says what is right.
    """
    outputs = artifact.run(evaluation.inputs)
    expected = models.predict(original, evaluation.inputs)
    if [each.shape for each in outputs] != [each.shape for each in expected]:
        raise ConversionError(
            f"the converted model's outputs are of shape {[each.shape[1:] for each in outputs]}, "
            f"the original's of {[each.shape[1:] for each in expected]}"
        )
    manifest.output_error.CopyFrom(comparison.output_error(expected, outputs))
    if not manifest.task:
        return None
    task = tasks.task(manifest.task)
    manifest.sample_noun = task.sample_noun
    truth = tasks.Truth(
        labels=evaluation.labels,
        original=expected if task.needs_original else None,
        inputs=evaluation.inputs if task.needs_inputs else (),
    )
    try:
        metrics = task.metrics(outputs, truth)
    except ValueError as error:
        raise ConversionError(
            f"what the variant gives can't be scored as {task.text}: {error}",
            reason=refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
        ) from error
    # Random inputs have no truth of their own, whatever a task makes of them.
    manifest.metrics.extend(each for each in metrics if scored or each.against == tasks.ORIGINAL)
    for field, against in ((manifest.quality, tasks.LABELS), (manifest.agreement, tasks.ORIGINAL)):
        if (first := tasks.first_against(manifest.metrics, against)) is not None:
            field.CopyFrom(first)
    if not task.needs_original or not scored:
        return None
    size_bytes = 4 * sum(each.size for each in expected)
    if size_bytes > MAX_REFERENCE_BYTES:
        manifest.notes.append(
            "What devices compute is not compared with the original: its outputs for the evaluation samples"
            f" are {size_bytes / 1e6:,.0f} MB, and at most {MAX_REFERENCE_BYTES / 1e6:,.0f} MB are kept."
        )
        return None
    return {f"output_{at}": each.astype(np.float32) for at, each in enumerate(expected)}


def _kept(format_: Format, model: LoadedModel, encoding: Encoding) -> tuple[str, ...]:
    """Names of the layers that `keep` left in float.

    Raises:
        ConversionError: a pattern that no layer's name follows.
    """
    if not encoding.options.keep:
        return ()
    return keeping.matching(format_.layers(model, encoding), encoding.options.keep)


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder
