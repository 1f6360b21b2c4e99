"""What a board's outputs are worth: the task's metric over them and the labels."""

from __future__ import annotations

import asyncio
import logging
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from edgemeter_converters import tasks
from edgemeter_coordinator.blobs import BlobStore
from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.store import datasets, models, results, studies
from edgemeter_coordinator.store.database import Database
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
        stored, task_name, labels_blob = asked
        quality = await asyncio.to_thread(
            self._quality,
            stored.result.outputs_digest,
            labels_blob,
            task_name,
            stored.result.evaluated_samples,
        )
        if quality.unscored_reason:
            logger.warning("result %s: %s", result_id, quality.unscored_reason)
        await self._database.transact(results.set_quality, result_id, quality)

    def _quality(
        self, outputs_digest: str, labels_blob: str, task_name: str, samples: int
    ) -> variant_pb2.Quality:
        try:
            return quality_of(
                outputs_path=self._blobs.require(outputs_digest),
                labels_path=self._blobs.require(labels_blob),
                task_name=task_name,
                evaluated_samples=samples,
            )
        except Refused as refused:
            return variant_pb2.Quality(unscored_reason=refused.message)
        except UnscorableError as error:
            return variant_pb2.Quality(unscored_reason=f"the board's outputs can't be scored: {error}")


def quality_of(
    *, outputs_path: Path, labels_path: Path, task_name: str, evaluated_samples: int
) -> variant_pb2.Quality:
    """The task's metric over the first `evaluated_samples` of the evaluation split.

    `outputs_path` is an .npz of output_0, output_1, … with that many rows each; `labels_path` one of
    labels, (samples,) int64. Nothing is unpickled.

    Raises UnscorableError.
    """
    outputs = _arrays(outputs_path)
    labels = _arrays(labels_path).get("labels")
    names = [f"output_{index}" for index in range(len(outputs))]
    if not outputs or sorted(outputs) != sorted(names):
        raise UnscorableError(
            f"the file holds {', '.join(sorted(outputs)) or 'nothing'}, not output_0, output_1, …"
        )
    if labels is None or evaluated_samples > len(labels):
        known = 0 if labels is None else len(labels)
        raise UnscorableError(f"{evaluated_samples} samples were evaluated, labels are known of {known}")
    for name in names:
        if outputs[name].ndim == 0 or len(outputs[name]) != evaluated_samples:
            raise UnscorableError(
                f"{name} has shape {outputs[name].shape}, though {evaluated_samples} samples were evaluated"
            )
    try:
        return tasks.task(task_name).score([outputs[name] for name in names], labels[:evaluated_samples])
    except (KeyError, ValueError, TypeError) as error:
        raise UnscorableError(str(error)) from error


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


def _asked(connection: Connection, result_id: str) -> tuple[results.StoredResult, str, str] | None:
    """A result that is to be scored, its model's task and its labels; None where there is nothing to do."""
    stored = results.get(connection, result_id)
    if stored is None or stored.device_quality is not None or not stored.result.outputs_digest:
        return None
    study = studies.get(connection, stored.study_id)
    assert study is not None
    model = models.by_digest(connection, study.model_digest)
    dataset = datasets.by_digest(connection, study.dataset_digest)
    assert model is not None
    assert dataset is not None
    if dataset.evaluation_labels_blob is None or not model.task:
        return None
    return stored, model.task, dataset.evaluation_labels_blob
