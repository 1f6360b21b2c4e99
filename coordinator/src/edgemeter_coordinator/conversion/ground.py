"""What a recipe is carried out on: a model, and the data that goes with it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from edgemeter_converters import tasks
from edgemeter_converters.identity import Sources
from edgemeter_converters.messages import ModelSource
from edgemeter_coordinator.store.datasets import DatasetRow
from edgemeter_coordinator.store.models import ModelRow
from edgemeter_protos.v1 import variant_pb2

SEED = 0
"""Of whatever is random in a conversion. The plan's seed is the measurement's: it must not name variants."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """As workers and identities want it."""

    source: ModelSource
    sources: Sources
    # The .npz that builds read.
    dataset_blob: str

    @property
    def framework(self) -> str:
        return self.sources.framework

    def preprocessed(self, preprocessing: Iterable[variant_pb2.Preprocessing]) -> Ground:
        """The same with another preprocessing than the model's present one."""
        each = tuple(one.SerializeToString(deterministic=True) for one in preprocessing)
        return Ground(
            source=replace(self.source, preprocessing=each),
            sources=replace(self.sources, preprocessing=each),
            dataset_blob=self.dataset_blob,
        )


def ground(model: ModelRow, dataset: DatasetRow, allowed: tuple[str, ...]) -> Ground:
    """`allowed` names the packages whose code may run; it counts for a model that a function made."""
    return Ground(
        source=model_source(model, allowed),
        sources=Sources(
            model_digest=model.digest,
            framework=model.framework,
            preprocessing=model.preprocessing,
            training_digest=dataset.training_digest or "",
            calibration_digest=dataset.calibration_digest,
            evaluation_digest=dataset.evaluation_digest,
            task="" if model.task == tasks.task_of(model.signature) else model.task,
            seed=SEED,
        ),
        dataset_blob=dataset.canonical_blob,
    )


def model_source(model: ModelRow, allowed: tuple[str, ...]) -> ModelSource:
    """A file is never loaded as what a function made, whatever its name says: that would run its code."""
    return ModelSource(
        digest=model.digest,
        file_name=model.file_name,
        inputs=tuple(spec.SerializeToString(deterministic=True) for spec in model.inputs),
        preprocessing=model.preprocessing,
        allowed=allowed if model.function else (),
        task=model.task,
    )
