"""The evaluation inputs through each variant; the coordinator scores what comes out."""

from __future__ import annotations

from edgemeter_agent.engine.context import JobContext
from edgemeter_agent.engine.record import VariantRecord
from edgemeter_agent.engine.variant_process import VariantError
from edgemeter_protos.v1 import engine_pb2


class EvaluationPhase:
    """In processes of their own, so that the evaluation data are not taken for the model's memory."""

    def __init__(self, context: JobContext, records: list[VariantRecord]) -> None:
        self._context = context
        self._records = records if context.job.evaluation_path else []
        context.progress.plan(len(self._records))

    def run(self) -> None:
        for index, record in enumerate(self._records):
            if record.failure is None:
                self._context.progress.tell(f"{record.name}: evaluation")
                self._evaluate(record, self._context.path(f"outputs-{index}.npz"))
            self._context.progress.step()

    def _evaluate(self, record: VariantRecord, path: str) -> None:
        try:
            with self._context.process() as process:
                process.load(self._context.load_request(record, for_speed=False))
                done = process.evaluate(
                    engine_pb2.ChildEvaluate(
                        inputs_path=self._context.job.evaluation_path,
                        outputs_path=path,
                        samples=self._context.plan.quality_samples,
                        preprocessing=record.variant.preprocessing,
                    )
                )
            record.outputs_path, record.evaluated_samples = path, done.samples
        except VariantError as failed:
            record.evaluation_failure = ("evaluation_failed", failed.detail)
