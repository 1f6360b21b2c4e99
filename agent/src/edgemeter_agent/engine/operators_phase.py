"""What each operator takes, in a process of its own: profiling slows queries down."""

from __future__ import annotations

from edgemeter_agent.engine.context import JobContext
from edgemeter_agent.engine.record import VariantRecord
from edgemeter_agent.engine.variant_process import VariantError
from edgemeter_agent.runtimes import operators
from edgemeter_protos.v1 import engine_pb2, result_pb2


class OperatorsPhase:
    def __init__(self, context: JobContext, records: list[VariantRecord]) -> None:
        self._context = context
        self._records = records if context.plan.profiled_queries else []
        context.progress.plan(len(self._records))

    def run(self) -> None:
        for record in self._records:
            if record.failure is None:
                self._context.progress.tell(f"{record.name}: operators")
                record.operators = self._profile(record)
            self._context.progress.step()

    def _profile(self, record: VariantRecord) -> result_pb2.OperatorProfile:
        """A profiler that fails costs the profile, not the variant."""
        unavailable = operators.unavailable(record.runtime.name) if record.runtime else ""
        if unavailable:
            return result_pb2.OperatorProfile(unavailable=unavailable)
        try:
            with self._context.process() as process:
                process.load(self._context.load_request(record))
                return process.profile(
                    engine_pb2.ChildProfile(
                        golden_path=record.variant.golden_path,
                        queries=self._context.plan.profiled_queries,
                        work_dir=self._context.job.work_dir,
                    )
                )
        except VariantError as failed:
            return result_pb2.OperatorProfile(unavailable=failed.detail)
