"""Models and data that users add: looked at once, and known from then on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import PurePosixPath

from sqlalchemy import Connection

from edgemeter_coordinator.blobs import BlobStore, check_digest
from edgemeter_coordinator.conversion.ground import model_source
from edgemeter_coordinator.conversion.inspection import Inspection
from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.service import bounds
from edgemeter_coordinator.service.submission import find_model
from edgemeter_coordinator.store import datasets, models, variants
from edgemeter_coordinator.store.database import Database
from edgemeter_coordinator.store.datasets import DatasetRow
from edgemeter_coordinator.store.models import Looked, ModelRow
from edgemeter_protos import preprocessing as how
from edgemeter_protos.v1 import lab_pb2, refusal_pb2, variant_pb2

FUNCTION_CHARACTERS = 256


class Catalogue:
    """What is in the database of models and data, and how it comes to be there."""

    def __init__(self, *, database: Database, blobs: BlobStore, inspection: Inspection) -> None:
        self._database = database
        self._blobs = blobs
        self._inspection = inspection

    async def add_model(self, request: lab_pb2.AddModelRequest) -> tuple[ModelRow, bool]:
        """The model, and whether its digest was known before.

        One that was is looked at again where the request gives inputs, preprocessing or a task that it does
        not have.

        Raises Refused: BLOB_MISSING, NOT_A_MODEL, UNSAFE_MODEL, TOO_LARGE, ALREADY_EXISTS, BAD_REQUEST,
        SHAPE_MISMATCH.
        """
        check_preprocessing(request.preprocessing)
        digest, name, file_name = _named(
            "model", request.digest, request.name, request.file_name, request.function
        )
        if digest:
            earlier = await self._database.transact(_known_model, digest, name)
            if earlier is not None and not _differs(earlier, request):
                return earlier, True
        else:
            earlier = None
        seen = await self._inspection.model(
            digest=digest,
            file_name=file_name if earlier is None else earlier.file_name,
            function=request.function,
            inputs=request.inputs,
            preprocessing=request.preprocessing,
            task=request.task,
            made_by_function=earlier is not None and bool(earlier.function),
        )
        _check_takes(seen.looked.signature, request.preprocessing)
        _, size_bytes = await asyncio.to_thread(self._blobs.stat, seen.digest)

        def add(connection: Connection) -> tuple[ModelRow, bool]:
            # Once more: another user may have added it, or taken the name, while it was loaded.
            known = _known_model(connection, seen.digest, name)
            if known is not None:
                return _described(connection, known, seen.looked) if _differs(known, request) else known, True
            added = models.add(
                connection,
                digest=seen.digest,
                name=name,
                file_name=seen.file_name,
                size_bytes=size_bytes,
                looked=seen.looked,
                function=request.function,
            )
            return added, False

        return await self._database.transact(add)

    async def described(self, model: ModelRow) -> ModelRow:
        """The model with all that is shown of it: one that an earlier edgemeter added is looked at again."""
        if model.description is not None:
            return model
        seen = await self._inspection.model(digest=model.digest, file_name=model.file_name, task=model.task)
        return await self._database.transact(models.describe, model.digest, seen.looked)

    async def add_dataset(self, request: lab_pb2.AddDatasetRequest) -> tuple[DatasetRow, bool]:
        """The dataset, and whether it was known before.

        One that is read in a way that its file does not tell has the digest of what was read, since the same
        file may be read in other ways.

        Raises Refused: BLOB_MISSING, NOT_A_DATASET, UNSAFE_MODEL, ALREADY_EXISTS, BAD_REQUEST, DISK_FULL,
        NOT_FOUND for a tokenizer's model.
        """
        digest, name, file_name = _named(
            "dataset", request.digest, request.name, request.file_name, request.function
        )
        as_it_is = not request.function and request.reading == lab_pb2.DataReading()
        if as_it_is:
            earlier = await self._database.transact(_known_dataset, digest, name)
            if earlier is not None:
                return earlier, True
        tokenizer = None
        if request.reading.tokenizer_model:
            row = await self._database.transact(find_model, request.reading.tokenizer_model)
            tokenizer = model_source(row, ())
        looked = await self._inspection.dataset(
            digest=digest,
            file_name=file_name,
            function=request.function,
            reading=request.reading,
            tokenizer=tokenizer,
        )
        key = digest if as_it_is else looked.canonical_blob
        _, size_bytes = await asyncio.to_thread(self._blobs.stat, digest or key)

        def add(connection: Connection) -> tuple[DatasetRow, bool]:
            known = _known_dataset(connection, key, name)
            if known is not None:
                return known, True
            added = datasets.add(
                connection,
                digest=key,
                name=name,
                file_name=file_name,
                size_bytes=size_bytes,
                looked=looked,
            )
            return added, False

        return await self._database.transact(add)

    async def trainable(self, dataset: DatasetRow) -> DatasetRow:
        """The dataset with its training samples' digest: one that an earlier edgemeter added is read again.

        Raises Refused (BAD_REQUEST) where it would be split otherwise today.
        """
        if dataset.training_digest is not None:
            return dataset
        looked = await self._inspection.dataset(digest=dataset.digest, file_name=dataset.file_name)
        bounds.check(
            looked.evaluation_digest == dataset.evaluation_digest,
            f"{dataset.name} was added by an earlier edgemeter, which split it otherwise: save it with its "
            "splits named (x_train, y_train, x_test, y_test) and add that",
        )
        return await self._database.transact(datasets.describe, dataset.digest, looked)


def check_preprocessing(each: Sequence[variant_pb2.Preprocessing]) -> None:
    """Raises Refused (BAD_REQUEST) for numbers that can't be computed with."""
    for one in each:
        try:
            how.parse(how.text(one))
        except ValueError as error:
            raise Refused(refusal_pb2.REFUSAL_REASON_BAD_REQUEST, f"preprocessing: {error}") from error


def _check_takes(signature: variant_pb2.Signature, each: Sequence[variant_pb2.Preprocessing]) -> None:
    """Raises Refused unless every input may get what its preprocessing makes."""
    bounds.check(
        len(each) in (0, len(signature.inputs)),
        f"preprocessing is given for {len(each)} inputs, and the model has {len(signature.inputs)} "
        f"({', '.join(spec.name for spec in signature.inputs)}): give one for each, in this order",
    )
    for one, spec in zip(each, signature.inputs, strict=False):
        taken = tuple(spec.shape[1:])
        # What a sample has before its last axis is put first.
        sample = (*taken[1:], *taken[:1]) if one.channels_first else taken
        try:
            if sample and sample[-1] != -1:
                how.output_shape(one, sample)
        except ValueError as error:
            raise Refused(
                refusal_pb2.REFUSAL_REASON_SHAPE_MISMATCH, f"preprocessing of {spec.name}: {error}"
            ) from error


def _named(noun: str, digest: str, name: str, file_name: str, function: str) -> tuple[str, str, str]:
    """Digest, name and file name of what is to be added; a function has no digest yet.

    Raises Refused (BAD_REQUEST).
    """
    if function:
        module, colon, attribute = function.partition(":")
        bounds.check(
            len(function) <= FUNCTION_CHARACTERS and bool(module) and bool(colon) and bool(attribute),
            f"{function[:80]!r} names no function: write package.module:function",
        )
        return "", bounds.check_name(noun, name or attribute), f"{attribute}.py"
    base = PurePosixPath(file_name.replace("\\", "/")).name
    bounds.check(0 < len(base) <= 256, f"the {noun}'s file name is missing or too long")
    return check_digest(digest), bounds.check_name(noun, name or PurePosixPath(base).stem), base


def _differs(known: ModelRow, request: lab_pb2.AddModelRequest) -> bool:
    """Whether the request gives what the known model does not have."""
    described = known.description.preprocessing if known.description is not None else ()
    return (
        (bool(request.inputs) and list(request.inputs) != list(known.inputs))
        or (bool(request.preprocessing) and list(request.preprocessing) != list(described))
        or (bool(request.task) and request.task != known.task)
    )


def _described(connection: Connection, known: ModelRow, looked: Looked) -> ModelRow:
    """Variants are named by the preprocessing too, so that those that are built stay what they are."""
    bounds.check(
        not variants.under_way(connection, known.digest),
        f"variants of {known.name} are being built: its preprocessing, inputs and task can be changed after "
        "that",
    )
    return models.describe(connection, known.digest, looked)


def _known_model(connection: Connection, digest: str, name: str) -> ModelRow | None:
    """The model of this digest. Raises Refused (ALREADY_EXISTS) where `name` is another one's."""
    known = models.by_digest(connection, digest)
    if known is None and (other := models.by_name(connection, name)) is not None:
        raise _name_taken("model", name, other.digest)
    return known


def _known_dataset(connection: Connection, digest: str, name: str) -> DatasetRow | None:
    """As _known_model."""
    known = datasets.by_digest(connection, digest)
    if known is None and (other := datasets.by_name(connection, name)) is not None:
        raise _name_taken("dataset", name, other.digest)
    return known


def _name_taken(noun: str, name: str, digest: str) -> Refused:
    return Refused(
        refusal_pb2.REFUSAL_REASON_ALREADY_EXISTS,
        f"{name!r} is the name of another {noun} ({digest[:12]}): name this one otherwise (--name)",
    )
