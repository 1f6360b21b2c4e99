"""Carrying out a step that changes a model, and keeping what it leaves. For conversion workers only."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgemeter_converters import models, recipes
from edgemeter_converters.datasets import Samples
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.models import LoadedModel, llama, llama_files
from edgemeter_converters.steps.call import StepCall
from edgemeter_converters.steps.transform import Context, LeftFile, Progress, Transformed
from edgemeter_protos.v1 import refusal_pb2, variant_pb2

_PROBE_SAMPLES = 8

SUFFIXES = {"keras": ".keras", "torch": ".torchstage", "llama": ".zip"}
"""Of the file that keeps a changed model, by framework. A .torchstage is torch's pickle of a module: nobody
but a conversion worker writes one, of a module whose package the operator trusts."""


@dataclass(frozen=True, kw_only=True)
class CarriedOut:
    """What a step left.

    Attributes:
        stage: names each of `files` among its attachments, in the same order.
    """

    model: LoadedModel
    stage: variant_pb2.Stage
    files: tuple[LeftFile, ...] = ()


def carry_out(
    call: StepCall,
    model: LoadedModel,
    original: LoadedModel,
    training: Samples | None,
    *,
    task: str,
    seed: int,
    checkpoint_dir: Path,
    progress: Progress,
) -> CarriedOut:
    """The model that the step leaves, and what was done.

    Args:
        model: what the steps before it left.
        training: preprocessed, in the model's element types; None where the call needs none.

    Raises:
        ConversionError: the step can't be carried out, or what it leaves gives no numbers.
    """
    context = Context(
        arguments=recipes.arguments_of(call),
        original=original,
        training=training,
        task=task,
        seed=seed,
        checkpoint_dir=checkpoint_dir,
        progress=progress,
    )
    name = call.name.replace("-", "_")
    step = import_module(f"edgemeter_converters.compress.{model.framework}.{name}")
    started_ns = time.perf_counter_ns()
    left: Transformed = step.apply(model, context)
    duration_ns = time.perf_counter_ns() - started_ns
    _check_finite(call, model, left.model, training)
    anatomy = models.anatomy(left.model)
    stage = variant_pb2.Stage(
        step=str(recipes.transforming(call)),
        duration_ns=duration_ns,
        parameters=left.model.parameters,
        non_zero_parameters=anatomy.non_zero_parameters,
        macs=anatomy.macs,
        epochs=left.epochs,
        first_loss=left.first_loss,
        last_loss=left.last_loss,
        notes=left.notes,
        attachments=[
            variant_pb2.Attachment(
                name=file.name,
                digest=hashlib.sha256(file.content).hexdigest(),
                size_bytes=len(file.content),
                about=file.about,
            )
            for file in left.files
        ],
    )
    return CarriedOut(model=left.model, stage=stage, files=left.files)


def training_samples(
    samples: Samples | None, calls: Sequence[StepCall], task: str, classes: int
) -> Samples | None:
    """`samples`, where one of the calls fine-tunes; None where none does.

    Raises:
        ConversionError: there are none, or they are of one class only.
    """
    needing = [call for call in calls if recipes.trains(call)]
    if not needing:
        return None
    if samples is None or len(samples) == 0:
        name = needing[0].name
        raise ConversionError(
            f"{name!r} fine-tunes, which takes training samples: give data, or write epochs=0"
            if recipes.may_go_without_data(needing[0])
            else f"{name!r} looks at training samples: give data",
            reason=refusal_pb2.REFUSAL_REASON_BAD_REQUEST,
        )
    if task and samples.labels is not None and classes > 1 and len(np.unique(samples.labels)) < 2:
        raise ConversionError(
            f"every training sample is of class {int(samples.labels[0])}: a model fine-tuned on one class "
            "forgets the others; give samples of all classes",
            reason=refusal_pb2.REFUSAL_REASON_NOT_A_DATASET,
        )
    return samples


def save(model: LoadedModel, path: Path) -> None:
    """Writes a changed model into a file named with its framework's suffix."""
    if model.framework == "keras":
        model.keras.save(path)
        return
    if model.framework == "llama":
        llama_files.pack(llama.folder_of(model), path)
        return
    import torch

    torch.save({"module": model.torch, "signature": model.signature.SerializeToString()}, path)


def load(path: Path, file_name: str) -> LoadedModel:
    """What `save` wrote."""
    if Path(file_name).suffix != SUFFIXES["torch"]:
        return models.load(path, file_name)
    import torch

    # A pickle, written by `save` in a conversion worker and named by its digest since.
    kept: dict[str, Any] = torch.load(path, weights_only=False)
    module = kept["module"].eval()
    return LoadedModel(
        framework="torch",
        network=module,
        signature=variant_pb2.Signature.FromString(kept["signature"]),
        parameters=sum(each.numel() for each in module.parameters()),
    )


def _check_finite(call: StepCall, model: LoadedModel, left: LoadedModel, training: Samples | None) -> None:
    """`model` is what the step was given: zeros are no input for each (a mask of nothing), and where it gives
    no numbers for them either, what the step left is not to blame."""
    if training is not None:
        inputs: tuple[NDArray[Any], ...] = tuple(array[:_PROBE_SAMPLES] for array in training.inputs)
    elif any(-1 in spec.shape[1:] for spec in left.signature.inputs):
        return
    else:
        inputs = tuple(
            np.zeros((1, *spec.shape[1:]), dtype=np.dtype(spec.dtype)) for spec in left.signature.inputs
        )
    if not _is_finite(left, inputs) and (training is not None or _is_finite(model, inputs)):
        raise ConversionError(f"{str(call)!r} left a model that gives NaN or infinity: it is not kept")


def _is_finite(model: LoadedModel, inputs: tuple[NDArray[Any], ...]) -> bool:
    return all(np.isfinite(output).all() for output in models.predict(model, inputs))
