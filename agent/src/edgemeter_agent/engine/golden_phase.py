"""Golden pairs of variants that write text, before anything of them is timed.

In processes of their own: a model that gives logits for each position is slower and larger than one that
writes.
"""

from __future__ import annotations

from edgemeter_agent.engine.context import JobContext, check_golden
from edgemeter_agent.engine.record import VariantRecord
from edgemeter_agent.engine.variant_process import VariantError


class GoldenPhase:
    """Sets the records' failures. Of other variants, each process that is timed checks the pair itself."""

    def __init__(self, context: JobContext, records: list[VariantRecord]) -> None:
        self._context = context
        self._records = [each for each in records if each.writes_text and each.variant.golden_path]
        context.progress.plan(len(self._records))

    def run(self) -> None:
        for record in self._records:
            if record.failure is None:
                self._context.progress.tell(f"{record.name}: golden pair")
                self._check(record)
            self._context.progress.step()

    def _check(self, record: VariantRecord) -> None:
        try:
            with self._context.process() as process:
                process.load(self._context.load_request(record, for_speed=False))
                check_golden(record, process)
        except VariantError as failed:
            record.failure = (failed.code, failed.detail)
