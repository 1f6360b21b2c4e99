"""Cold starts beside those of the blocks: fresh processes that load the model and run it once."""

from __future__ import annotations

from edgemeter_agent.engine.context import JobContext
from edgemeter_agent.engine.latency_phase import finish, start
from edgemeter_agent.engine.record import VariantRecord
from edgemeter_agent.engine.variant_process import VariantError


class ColdPhase:
    """The variants take turns, so that what the page cache holds by then is alike for all."""

    def __init__(self, context: JobContext, records: list[VariantRecord]) -> None:
        self._context = context
        self._records = records
        context.progress.plan(len(records) * context.plan.cold_starts)

    def run(self) -> None:
        for _ in range(self._context.plan.cold_starts):
            for record in self._records:
                if record.failure is None:
                    self._context.progress.tell(f"{record.name}: cold start")
                    self._once(record)
                self._context.progress.step()

    def _once(self, record: VariantRecord) -> None:
        try:
            with self._context.process() as process:
                start(self._context, record, process)
                finish(record, process)
        except VariantError as failed:
            record.failure = (failed.code, failed.detail)
