"""What a conversion worker process is asked to do.

Plain values and paths go in and come out, so that each function may run in another process, and TensorFlow is
imported only when one of them runs. Every failure is a `ConversionError`. What the tools print goes to a log.
A process runs one of these at a time.
"""

from __future__ import annotations

import tempfile
from collections import OrderedDict
from contextlib import ExitStack
from pathlib import Path

from edgemeter_converters import build, datasets, models, process, recipes, tasks
from edgemeter_converters.identity import tool_versions, variant_id
from edgemeter_converters.messages import BuildReport, BuildRequest, DatasetReport, ModelReport
from edgemeter_converters.models import LoadedModel

__all__ = [
    "BuildReport",
    "BuildRequest",
    "DatasetReport",
    "ModelReport",
    "build_variant",
    "inspect_dataset",
    "inspect_model",
    "tool_versions",
    "variant_id",
]

_MAX_LOADED_MODELS = 2

_loaded_models: OrderedDict[str, LoadedModel] = OrderedDict()
"""Of this process, by digest, the last used last: the variants of one model share one load."""


def inspect_model(path: str, file_name: str) -> ModelReport:
    """Loads a model, safely, and says what it is.

    Raises:
        ConversionError: NOT_A_MODEL, UNSAFE_MODEL or TOO_LARGE.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgemeter-inspect-"))
        _start(stack, Path(folder) / "log", keep_log=False)
        model = models.load(Path(path), file_name)
        return ModelReport(
            framework=model.framework,
            task=tasks.task_of(model.signature),
            parameters=model.parameters,
            signature=model.signature.SerializeToString(),
        )


def inspect_dataset(path: str, file_name: str, out_dir: str) -> DatasetReport:
    """Reads a dataset, says what it is, and writes what devices and scoring need of it into `out_dir`.

    Raises:
        ConversionError: NOT_A_DATASET or TOO_LARGE.
    """
    folder = Path(out_dir)
    inputs_path, labels_path = folder / "evaluation-inputs.npz", folder / "evaluation-labels.npz"
    with process.failures_in_one_line(None):
        dataset = datasets.read(Path(path), file_name)
        evaluation = dataset.evaluation
        datasets.write_inputs(inputs_path, evaluation.inputs)
        if evaluation.labels is not None:
            datasets.write_labels(labels_path, evaluation.labels)
        return DatasetReport(
            splits=(
                ("training", len(dataset.training)),
                ("calibration", len(dataset.calibration[0])),
                ("evaluation", len(evaluation)),
            ),
            inputs=tuple(spec.SerializeToString() for spec in datasets.input_specs(evaluation.inputs)),
            classes=dataset.classes,
            calibration_digest=datasets.inputs_digest(dataset.calibration),
            evaluation_digest=datasets.samples_digest(evaluation),
            inputs_path=str(inputs_path),
            labels_path="" if evaluation.labels is None else str(labels_path),
        )


def build_variant(request: BuildRequest) -> BuildReport:
    """Converts a model by a recipe, runs the result, and says all there is to know of it.

    Raises:
        ConversionError: a refusal of the model, the data or the recipe; or, with reason 0, the converter's
            own failure in one line, its log kept in `out_dir`.
    """
    out_dir = Path(request.out_dir)
    log = out_dir / f"{request.variant_id}.log"
    with ExitStack() as stack:
        _start(stack, log, keep_log=True)
        work_dir = stack.enter_context(tempfile.TemporaryDirectory(prefix="build-", dir=out_dir))
        recipe = recipes.parse(request.recipe)
        dataset = (
            datasets.read(Path(request.dataset_path), request.dataset_file_name)
            if request.dataset_path
            else None
        )
        return build.build(request, recipe, _loaded_model(request), dataset, Path(work_dir))


def _start(stack: ExitStack, log: Path, *, keep_log: bool) -> None:
    process.prepare()
    stack.enter_context(process.failures_in_one_line(log, keep_log=keep_log))
    stack.enter_context(process.tools_write_to(log))


def _loaded_model(request: BuildRequest) -> LoadedModel:
    model = _loaded_models.pop(request.model_digest, None)
    if model is None:
        model = models.load(Path(request.model_path), request.model_file_name)
    _loaded_models[request.model_digest] = model
    while len(_loaded_models) > _MAX_LOADED_MODELS:
        _loaded_models.popitem(last=False)
    return model
