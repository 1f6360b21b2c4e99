"""Models and data that are to be added: looked at in a worker, never in the service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgemeter_converters import worker
from edgemeter_converters.exceptions import ConversionError
from edgemeter_converters.messages import DatasetRequest, ModelRequest, ModelSource
from edgemeter_coordinator.conversion.cluster import WorkerDiedError
from edgemeter_coordinator.conversion.workbench import Workbench, refused
from edgemeter_coordinator.refusal import Refused
from edgemeter_coordinator.store import datasets, models
from edgemeter_protos.v1 import lab_pb2, refusal_pb2, variant_pb2


@dataclass(frozen=True, kw_only=True, slots=True)
class SeenModel:
    """A model that was looked at; digest and file name are those of what the function made, where one did."""

    digest: str
    file_name: str
    looked: models.Looked


class Inspection:
    """Raises Refused for whatever a model or a dataset is not."""

    def __init__(self, *, bench: Workbench, allow_code: tuple[str, ...]) -> None:
        self._bench = bench
        self._allow_code = allow_code

    async def model(
        self,
        *,
        digest: str = "",
        file_name: str = "",
        function: str = "",
        inputs: Sequence[variant_pb2.TensorSpec] = (),
        preprocessing: Sequence[variant_pb2.Preprocessing] = (),
        task: str = "",
        made_by_function: bool = False,
    ) -> SeenModel:
        """Loads a model file, safely, or calls the function that makes one.

        Args:
            task: its text; empty for the first that fits.
            made_by_function: whether the file is what a function made earlier.

        Raises:
            Refused: BLOB_MISSING, NOT_A_MODEL, UNSAFE_MODEL, TOO_LARGE, BAD_REQUEST.
        """
        trusted = bool(function) or made_by_function
        async with self._bench.exchange([digest]) as exchange:
            request = ModelRequest(
                exchange=exchange,
                function=function,
                source=ModelSource(
                    digest=digest,
                    file_name=file_name,
                    inputs=tuple(spec.SerializeToString(deterministic=True) for spec in inputs),
                    preprocessing=tuple(each.SerializeToString(deterministic=True) for each in preprocessing),
                    allowed=self._allow_code if trusted else (),
                    task=task,
                ),
            )
            try:
                report = await self._bench.run(worker.inspect_model, request)
            except ConversionError as error:
                raise refused(error) from error
            except WorkerDiedError as error:
                raise Refused(
                    refusal_pb2.REFUSAL_REASON_NOT_A_MODEL,
                    f"{function or file_name} could not be loaded: {error}",
                ) from error
            if report.made is not None:
                digest, file_name = await self._bench.keep(report.made), report.made_file_name
        return SeenModel(
            digest=digest,
            file_name=file_name,
            looked=models.Looked(
                framework=report.framework,
                task=report.task,
                parameters=report.parameters,
                signature=variant_pb2.Signature.FromString(report.signature),
                inputs=tuple(inputs),
                description=lab_pb2.Model(
                    macs=report.macs,
                    layers=[lab_pb2.LayerCount.FromString(each) for each in report.layers],
                    preprocessing=preprocessing,
                    vocabulary_digest=report.vocabulary,
                ),
            ),
        )

    async def dataset(
        self,
        *,
        digest: str = "",
        file_name: str = "",
        function: str = "",
        reading: lab_pb2.DataReading | None = None,
        tokenizer: ModelSource | None = None,
    ) -> datasets.Looked:
        """Reads data, and keeps as blobs what builds, devices and scoring need of it.

        Args:
            tokenizer: the model whose tokenizer reads a text.

        Raises:
            Refused: BLOB_MISSING, NOT_A_DATASET, UNSAFE_MODEL, DISK_FULL.
        """
        named = [digest, *([tokenizer.digest] if tokenizer else [])]
        async with self._bench.exchange(named) as exchange:
            request = DatasetRequest(
                exchange=exchange,
                digest=digest,
                file_name=file_name,
                function=function,
                reading=(reading or lab_pb2.DataReading()).SerializeToString(deterministic=True),
                allowed=self._allow_code if function else (),
                tokenizer=tokenizer,
            )
            try:
                report = await self._bench.run(worker.inspect_dataset, request)
            except ConversionError as error:
                raise refused(error) from error
            except WorkerDiedError as error:
                raise Refused(
                    refusal_pb2.REFUSAL_REASON_NOT_A_DATASET,
                    f"{function or file_name} could not be read: {error}",
                ) from error
            labels = report.evaluation_labels
            return datasets.Looked(
                description=lab_pb2.Dataset(
                    splits=[lab_pb2.Split(name=name, samples=samples) for name, samples in report.splits],
                    inputs=[variant_pb2.TensorSpec.FromString(spec) for spec in report.inputs],
                    classes=report.classes,
                    labels=variant_pb2.TensorSpec.FromString(report.labels) if report.labels else None,
                    vocabulary_digest=report.vocabulary,
                ),
                training_digest=report.training_digest,
                calibration_digest=report.calibration_digest,
                evaluation_digest=report.evaluation_digest,
                canonical_blob=await self._bench.keep(report.canonical),
                evaluation_inputs_blob=await self._bench.keep(report.evaluation_inputs),
                evaluation_labels_blob=await self._bench.keep(labels) if labels is not None else None,
            )
