"""What a board's outputs are worth: the task's metric over them and the labels."""

from __future__ import annotations

import asyncio
import logging
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from edgemeter_converters import tasks
from edgemeter_coordinator.blobs import BlobStore
from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.store import datasets, results, studies, variants
from edgemeter_coordinator.store.database import Database
from edgemeter_protos import preprocessing as how
from edgemeter_protos.v1 import variant_pb2

MAX_BYTES = 2 << 30
"""Of an .npz file's arrays, uncompressed: they are held in memory at once."""

logger = logging.getLogger(__name__)


class UnscorableError(Exception):
    """Outputs that don't fit the labels or can't be read; the message is one line."""


class Scorer:
    """Scores results once each, whoever asks and however often.

    Outputs that can't be scored get a Quality with `unscored_reason`, so that they are not tried at every
    start; users see it as a reason of the verdict.
    """

    def __init__(self, *, database: Database, blobs: BlobStore) -> None:
        self._database = database
        self._blobs = blobs
        self._scoring: dict[str, asyncio.Task[None]] = {}

    async def score(self, result_id: str) -> None:
        """Returns when the result has its quality, or can't have one (no outputs, no labels)."""
        task = self._scoring.get(result_id)
        if task is None:
            task = asyncio.create_task(self._score(result_id), name=f"score {result_id}")
            self._scoring[result_id] = task
            task.add_done_callback(lambda _: self._scoring.pop(result_id, None))
        # Shielded: the one who asked first may go away, the others still wait.
        await asyncio.shield(task)

    async def resume(self) -> None:
        """Scores what came in and was not scored when the service stopped."""
        for result_id in await self._database.transact(results.unscored):
            await self.score(result_id)

    async def _score(self, result_id: str) -> None:
        asked = await self._database.transact(_asked, result_id)
        if asked is None:
            return
        metrics = await asyncio.to_thread(self._metrics, asked)
        # One without a metric's name is for all of them.
        unscored = next((each for each in metrics if each.unscored_reason and not each.metric), None)
        if unscored is not None:
            logger.warning("result %s: %s", result_id, unscored.unscored_reason)
            await self._database.transact(results.set_quality, result_id, unscored)
            return
        quality = tasks.first_against(metrics, tasks.LABELS) or variant_pb2.Quality()
        await self._database.transact(results.set_quality, result_id, quality, metrics)

    def _metrics(self, asked: Asked) -> Sequence[variant_pb2.Quality]:
        try:
            return metrics_of(
                outputs_path=self._blobs.require(asked.outputs_digest),
                labels_path=self._path(asked.labels_blob),
                reference_path=self._path(asked.reference_digest),
                inputs_path=self._path(asked.inputs_blob),
                preprocessing=asked.preprocessing,
                task_text=asked.task_text,
                evaluated_samples=asked.samples,
            )
        except Refused as refused:
            return [variant_pb2.Quality(unscored_reason=refused.message)]
        except UnscorableError as error:
            return [variant_pb2.Quality(unscored_reason=f"the board's outputs can't be scored: {error}")]

    def _path(self, digest: str) -> Path | None:
        return self._blobs.require(digest) if digest else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What is to be scored: digests of blobs, empty for those that there are not, or that the task does not
    look at."""

    outputs_digest: str
    labels_blob: str
    reference_digest: str
    inputs_blob: str
    preprocessing: Sequence[variant_pb2.Preprocessing]
    task_text: str
    samples: int


def metrics_of(
    *,
    outputs_path: Path,
    labels_path: Path | None = None,
    reference_path: Path | None = None,
    inputs_path: Path | None = None,
    preprocessing: Sequence[variant_pb2.Preprocessing] = (),
    task_text: str,
    evaluated_samples: int,
) -> tuple[variant_pb2.Quality, ...]:
    """The task's metrics over the first `evaluated_samples` of the evaluation split.

    `outputs_path` is an .npz of output_0, output_1, … with that many rows each; `labels_path` one of labels;
    `reference_path`, the original's outputs, as `outputs_path`; `inputs_path` one of input_0, …, as in the
    data. Nothing is unpickled.

    Raises UnscorableError.
    """
    outputs = _numbered(outputs_path, "output")
    for number, array in enumerate(outputs):
        if len(array) != evaluated_samples:
            raise UnscorableError(
                f"output_{number} has shape {array.shape}, though {evaluated_samples} samples were evaluated"
            )
    labels = None
    if labels_path is not None:
        labels = _arrays(labels_path).get("labels")
        if labels is None or evaluated_samples > len(labels):
            known = 0 if labels is None else len(labels)
            raise UnscorableError(f"{evaluated_samples} samples were evaluated, labels are known of {known}")
        labels = labels[:evaluated_samples]
    original = _first(_numbered(reference_path, "output"), evaluated_samples) if reference_path else None
    if original is not None and [each.shape for each in original] != [each.shape for each in outputs]:
        raise UnscorableError(
            f"they are of shape {[each.shape for each in outputs]}, the original's of "
            f"{[each.shape for each in original]}"
        )
    inputs = _first(_numbered(inputs_path, "input"), evaluated_samples) if inputs_path else []
    if preprocessing:
        inputs = [how.apply(step, each) for step, each in zip(preprocessing, inputs, strict=False)]
    truth = tasks.Truth(
        labels=labels, original=tuple(original) if original is not None else None, inputs=tuple(inputs)
    )
    try:
        return tasks.task(task_text).metrics(outputs, truth)
    except (ValueError, TypeError) as error:
        raise UnscorableError(str(error)) from error


def _numbered(path: Path, name: str) -> list[NDArray[Any]]:
    """The file's arrays, which must be name_0, name_1, …, a row or more for each sample."""
    arrays = _arrays(path)
    names = [f"{name}_{index}" for index in range(len(arrays))]
    if not arrays or sorted(arrays) != sorted(names):
        raise UnscorableError(
            f"the file holds {', '.join(sorted(arrays)) or 'nothing'}, not {name}_0, {name}_1, …"
        )
    flat = next((each for each in names if arrays[each].ndim == 0), None)
    if flat is not None:
        raise UnscorableError(f"{flat} has shape (): it is a single number, not one a sample")
    return [arrays[each] for each in names]


def _first(arrays: Sequence[NDArray[Any]], samples: int) -> list[NDArray[Any]]:
    return [each[:samples] for each in arrays]


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            size_bytes = sum(member.file_size for member in archive.infolist())
        if size_bytes > MAX_BYTES:
            raise UnscorableError(f"its arrays take {size_bytes} bytes, at most {MAX_BYTES} are read")
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError) as error:
        raise UnscorableError(f"it is no .npz file, or a damaged one ({error})") from error
    except (ValueError, SyntaxError, tokenize.TokenError, OverflowError, MemoryError) as error:
        # The header of an array, too, is only what the board wrote there.
        raise UnscorableError(f"an array can't be read ({error})") from error


def _asked(connection: Connection, result_id: str) -> Asked | None:
    """None where there is nothing to do."""
    stored = results.get(connection, result_id)
    if stored is None or stored.device_quality is not None or not stored.result.outputs_digest:
        return None
    study = studies.get(connection, stored.study_id)
    variant = variants.get(connection, stored.variant_id)
    assert study is not None
    assert variant is not None
    assert variant.manifest is not None
    dataset = datasets.by_digest(connection, study.dataset_digest)
    assert dataset is not None
    manifest = variant.manifest
    if not manifest.task:
        return None
    task = tasks.task(manifest.task)
    labels, reference = dataset.evaluation_labels_blob or "", manifest.reference_digest
    return Asked(
        outputs_digest=stored.result.outputs_digest,
        labels_blob=labels,
        reference_digest=reference,
        inputs_blob=(dataset.evaluation_inputs_blob or "") if task.needs_inputs else "",
        preprocessing=manifest.preprocessing,
        task_text=manifest.task,
        samples=stored.result.evaluated_samples,
    )
