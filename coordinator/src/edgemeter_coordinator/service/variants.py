"""What users ask of variants: lists, manifests, a second build, a look between the layers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection

from edgemeter_converters.exceptions import ConversionError
from edgemeter_coordinator.conversion.cluster import WorkerDiedError
from edgemeter_coordinator.conversion.engine import ConversionEngine
from edgemeter_coordinator.conversion.workbench import refused
from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.service import bounds, study_view, submission
from edgemeter_coordinator.store import datasets, models, variants
from edgemeter_coordinator.store.database import Database
from edgemeter_coordinator.store.variants import VariantRow
from edgemeter_protos.v1 import lab_pb2, refusal_pb2

USUAL_VARIANTS = 100
MOST_VARIANTS = 1000


class Variants:
    """Every method raises Refused: NOT_FOUND, BAD_REQUEST, or what a conversion fails with."""

    def __init__(self, *, database: Database, conversion: ConversionEngine) -> None:
        self._database = database
        self._conversion = conversion

    async def listed(self, request: lab_pb2.ListVariantsRequest) -> lab_pb2.ListVariantsResponse:
        limit = min(request.limit or USUAL_VARIANTS, MOST_VARIANTS)
        shown = await self._database.transact(_variants, request.model, limit)
        return lab_pb2.ListVariantsResponse(variants=shown)

    async def one(self, request: lab_pb2.GetVariantRequest) -> lab_pb2.GetVariantResponse:
        return lab_pb2.GetVariantResponse(variant=await self._database.transact(_variant, request.variant))

    async def rebuilt(self, request: lab_pb2.RebuildVariantRequest) -> lab_pb2.RebuildVariantResponse:
        row = await self._database.transact(_ready, request.variant)
        assert row.manifest is not None
        with conversion_refusals():
            rebuilt = await self._conversion.rebuild(row)
        return lab_pb2.RebuildVariantResponse(
            same=rebuilt.artifact_digest == row.manifest.artifact_digest,
            earlier=row.manifest,
            rebuilt=rebuilt,
        )

    async def layers(self, request: lab_pb2.InspectLayersRequest) -> lab_pb2.InspectLayersResponse:
        row = await self._database.transact(_ready, request.variant)
        with conversion_refusals():
            layers = await self._conversion.layers(row)
        return lab_pb2.InspectLayersResponse(layers=layers)


@contextmanager
def conversion_refusals() -> Iterator[None]:
    """What a conversion fails with, as a refusal."""
    try:
        yield
    except ConversionError as error:
        raise refused(error) from error
    except WorkerDiedError as error:
        raise Refused(refusal_pb2.REFUSAL_REASON_UNSPECIFIED, str(error)) from error


def _variants(connection: Connection, model: str, limit: int) -> list[lab_pb2.Variant]:
    digest = submission.find_model(connection, model).digest if model else None
    model_names = {row.digest: row.name for row in models.every(connection)}
    dataset_names = {row.digest: row.name for row in datasets.every(connection)}
    return [
        study_view.variant(
            row,
            model_name=model_names[row.model_digest],
            dataset_name=dataset_names[row.dataset_digest],
        )
        for row in variants.newest(connection, limit, model_digest=digest)
    ]


def _variant(connection: Connection, reference: str) -> lab_pb2.Variant:
    row = submission.find_variant(connection, reference)
    model = models.by_digest(connection, row.model_digest)
    dataset = datasets.by_digest(connection, row.dataset_digest)
    assert model is not None
    assert dataset is not None
    return study_view.variant(row, model_name=model.name, dataset_name=dataset.name)


def _ready(connection: Connection, reference: str) -> VariantRow:
    row = submission.find_variant(connection, reference)
    bounds.check(
        row.state == "ready" and row.manifest is not None,
        f"variant {row.id} ({row.recipe}) is {row.state}: only one that is ready can be looked into",
    )
    return row
