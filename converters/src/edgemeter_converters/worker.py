"""What a conversion worker process is asked to do.

Plain values go in and come out, so that each function may run in another process, on another machine, and
frameworks are imported only when one of them runs. Every failure is a `ConversionError`. What the tools print
goes to a log. A process runs one of these at a time.
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edgemeter_converters import build, datasets, layers, models, process, recipes, stages, tasks
from edgemeter_converters.datasets import Dataset
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.exchange import Given
from edgemeter_converters.identity import installed_versions
from edgemeter_converters.messages import (
    BuildReport,
    BuildRequest,
    DatasetReport,
    DatasetRequest,
    LayersReport,
    LayersRequest,
    ModelReport,
    ModelRequest,
    ModelSource,
    StageReport,
    StageRequest,
    Start,
    Task,
)
from edgemeter_converters.models import LoadedModel
from edgemeter_converters.steps.transform import LeftFile, Progress
from edgemeter_protos.v1 import lab_pb2, refusal_pb2, variant_pb2

__all__ = [
    "apply_stage",
    "build_variant",
    "inspect_dataset",
    "inspect_layers",
    "inspect_model",
    "installed_versions",
]

_MAX_LOADED_MODELS = 2

_loaded_models: OrderedDict[tuple[str, ...], LoadedModel] = OrderedDict()
"""Of this process, the last used last: the variants of one model share one load."""

_CANONICAL = "data.npz"


def inspect_model(request: ModelRequest) -> ModelReport:
    """Loads a model, safely, and says what it is.

    Raises:
        ConversionError: NOT_A_MODEL, UNSAFE_MODEL or TOO_LARGE.
    """
    with _working(request, "inspect", keep_log=False):
        source, made = request.source, None
        if request.function:
            from edgemeter_converters.models import torch_function

            module, examples = torch_function.call(request.function, source.allowed)
            made = request.exchange.out_dir() / "model.torchmodule"
            specs = torch_function.specs_of(examples) if examples else models.batched(_specs(source))
            made.write_bytes(torch_function.freeze(module, request.function, specs))
            model = torch_function.load(made, request.function, source.allowed)
        else:
            model = _load(source, request)
        anatomy = models.anatomy(model)
        return ModelReport(
            framework=model.framework,
            task=_task(source.task, model),
            parameters=model.parameters,
            macs=anatomy.macs,
            layers=tuple(
                lab_pb2.LayerCount(
                    kind=each.kind, count=each.count, parameters=each.parameters
                ).SerializeToString()
                for each in anatomy.layers
            ),
            signature=model.signature.SerializeToString(),
            made=request.exchange.give(made) if made is not None else None,
            made_file_name=made.name if made is not None else "",
            vocabulary=models.vocabulary_digest(model),
        )


def inspect_dataset(request: DatasetRequest) -> DatasetReport:
    """Reads a dataset, says what it is, and writes what builds, devices and scoring need of it.

    Raises:
        ConversionError: NOT_A_DATASET or TOO_LARGE.
    """
    exchange, folder = request.exchange, request.exchange.out_dir()
    with _working(request, "inspect", keep_log=False):
        dataset = datasets.call(request.function, request.allowed) if request.function else _read(request)
        evaluation = dataset.evaluation
        canonical, inputs, labels = (
            folder / name for name in (_CANONICAL, "evaluation-inputs.npz", "evaluation-labels.npz")
        )
        datasets.write(canonical, dataset)
        datasets.write_inputs(inputs, evaluation.inputs)
        if evaluation.labels is not None:
            datasets.write_labels(labels, evaluation.labels)
        return DatasetReport(
            splits=(
                ("training", len(dataset.training)),
                ("calibration", len(dataset.calibration[0])),
                ("evaluation", len(evaluation)),
            ),
            inputs=tuple(spec.SerializeToString() for spec in datasets.input_specs(evaluation.inputs)),
            classes=dataset.classes,
            labels=spec.SerializeToString() if (spec := datasets.label_spec(evaluation)) else b"",
            vocabulary=dataset.vocabulary,
            training_digest=datasets.samples_digest(dataset.training),
            calibration_digest=datasets.inputs_digest(dataset.calibration),
            evaluation_digest=datasets.samples_digest(evaluation),
            canonical=exchange.give(canonical),
            evaluation_inputs=exchange.give(inputs),
            evaluation_labels=exchange.give(labels) if evaluation.labels is not None else None,
        )


def apply_stage(request: StageRequest) -> StageReport:
    """Carries out one step that changes a model.

    Raises:
        ConversionError: as `build_variant`.
    """
    exchange = request.exchange
    with _working(request, request.stage_id, keep_log=True):
        original = _load(request.model, request)
        # Whatever the format, it says the same of a step that changes the model.
        call = recipes.parse(request.step, original.framework).steps[0]
        task = request.model.task or tasks.task_of(original.signature)
        dataset = _dataset(request, request.dataset_digest)
        training = None
        if dataset is not None:
            whole = stages.training_samples(dataset.training, [call], task, dataset.classes)
            training = build.as_taken(original, request.model.preprocessing, whole) if whole else None
        else:
            stages.training_samples(None, [call], task, 0)
        done = stages.carry_out(
            call,
            original if request.start is None else _started(request.start, request),
            original,
            training,
            task=task,
            seed=request.seed,
            checkpoint_dir=exchange.checkpoint_dir(request.stage_id),
            progress=_progress(request.topic),
        )
        path = exchange.out_dir() / f"{request.stage_id}{stages.SUFFIXES[done.model.framework]}"
        stages.save(done.model, path)
        return StageReport(
            made=exchange.give(path),
            file_name=path.name,
            stage=done.stage.SerializeToString(),
            attachments=tuple(_written(request, number, file) for number, file in enumerate(done.files)),
        )


def build_variant(request: BuildRequest) -> BuildReport:
    """Encodes a model by a recipe, runs the result, and says all there is to know of it.

    Raises:
        ConversionError: a refusal of the model, the data or the recipe; or, with reason 0, the converter's
            own failure in one line, its log kept beside what it made.
    """
    with _working(request, request.variant_id, keep_log=True) as work_dir:
        original = _load(request.model, request)
        return build.build(
            request,
            original=original,
            model=original if request.start is None else _started(request.start, request),
            dataset=_dataset(request, request.dataset_digest),
            work_dir=work_dir,
            progress=_progress(request.topic),
        )


def inspect_layers(request: LayersRequest) -> LayersReport:
    """Runs a variant beside the float32 encoding of the same network, layer by layer.

    Raises:
        ConversionError: the format's runtime shows no intermediate values.
    """
    with _working(request, "layers", keep_log=False) as work_dir:
        original = _load(request.model, request)
        errors = layers.compare(
            request,
            model=original if request.start is None else _started(request.start, request),
            dataset=_dataset(request, request.dataset_digest),
            artifact=request.exchange.get(request.artifact_digest).read_bytes(),
            work_dir=work_dir,
        )
        return LayersReport(layers=tuple(each.SerializeToString() for each in errors))


def _written(request: StageRequest, number: int, file: LeftFile) -> Given:
    path = request.exchange.out_dir() / f"{request.stage_id}.{number}{Path(file.name).suffix}"
    path.write_bytes(file.content)
    return request.exchange.give(path)


@contextmanager
def _working(request: Task, name: str, *, keep_log: bool) -> Iterator[Path]:
    """The process set up for the tools, their output in a log, and an empty folder for their own files."""
    out_dir = request.exchange.out_dir()
    log = out_dir / f"{name}.log"
    with ExitStack() as stack:
        process.prepare()
        stack.enter_context(process.failures_in_one_line(log, keep_log=keep_log))
        stack.enter_context(process.tools_write_to(log))
        yield Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="work-", dir=out_dir)))


def _progress(topic: str) -> Progress:
    if not topic:
        return lambda _fraction, _phase: None
    from distributed import get_worker

    worker = get_worker()
    return lambda fraction, phase: worker.log_event(topic, {"fraction": fraction, "phase": phase})


def _specs(source: ModelSource) -> tuple[variant_pb2.TensorSpec, ...]:
    return tuple(variant_pb2.TensorSpec.FromString(each) for each in source.inputs)


def _task(text: str, model: LoadedModel) -> str:
    """The canonical text of what the model is for, or of what it may be.

    Raises:
        ConversionError: BAD_REQUEST: there is no such task, or it does not suit the model's outputs.
    """
    if not text:
        return tasks.task_of(model.signature)
    try:
        task = tasks.task(text)
    except ValueError as error:
        raise ConversionError(str(error), reason=refusal_pb2.REFUSAL_REASON_BAD_REQUEST) from error
    if not task.fits(model.signature):
        outputs = ", ".join(f"{each.name} {list(each.shape)}" for each in model.signature.outputs)
        raise ConversionError(
            f"the task {task.text} does not suit a model that gives {outputs}",
            reason=refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
        )
    return task.text


def _load(source: ModelSource, request: Task) -> LoadedModel:
    key = (source.digest, source.file_name, *map(bytes.hex, source.inputs))
    model = _loaded_models.pop(key, None)
    if model is None:
        path = request.exchange.get(source.digest)
        model = models.load(path, source.file_name, inputs=_specs(source), allowed=source.allowed)
    return _remember(key, model)


def _started(start: Start, request: Task) -> LoadedModel:
    key = (start.digest, start.file_name)
    model = _loaded_models.pop(key, None)
    if model is None:
        model = stages.load(request.exchange.get(start.digest), start.file_name)
    return _remember(key, model)


def _remember(key: tuple[str, ...], model: LoadedModel) -> LoadedModel:
    _loaded_models[key] = model
    while len(_loaded_models) > _MAX_LOADED_MODELS:
        _loaded_models.popitem(last=False)
    return model


def _read(request: DatasetRequest) -> Dataset:
    path, reading = request.exchange.get(request.digest), lab_pb2.DataReading.FromString(request.reading)
    if request.tokenizer is None:
        return datasets.read(path, request.file_name, reading)
    tokenizer = models.tokenizer(_load(request.tokenizer, request))
    if tokenizer is None:
        raise ConversionError(
            f"{request.tokenizer.file_name} is no language model, and has no tokenizer",
            reason=refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
        )
    return datasets.read_text(path, request.file_name, tokenizer, reading)


def _dataset(request: Task, digest: str) -> Dataset | None:
    return datasets.read(request.exchange.get(digest), _CANONICAL) if digest else None
