"""The rate at which a server's queries arrive: the plan's, or the highest that holds the plan's bound."""

from __future__ import annotations

import numpy as np

from edgemeter_agent.conditions.judge import judge_block
from edgemeter_agent.engine.context import JobContext
from edgemeter_agent.engine.latency_phase import block_request, calibrate
from edgemeter_agent.engine.rate_search import LEAST_SHARE, Found, held, next_rate
from edgemeter_agent.engine.record import VariantRecord
from edgemeter_agent.engine.sizing import patience_s
from edgemeter_agent.engine.variant_process import VariantError, VariantProcess
from edgemeter_agent.statistics.percentiles import percentile
from edgemeter_protos.v1 import plan_pb2, result_pb2


class ServingPhase:
    """Sets the records' `target_qps` and probes. Only for the server scenario."""

    def __init__(self, context: JobContext, records: list[VariantRecord]) -> None:
        self._context = context
        self._plan = context.plan
        self._records = records if self._plan.scenario == plan_pb2.SCENARIO_SERVER else []
        context.progress.plan(len(self._records))

    def run(self) -> None:
        for record in self._records:
            record.target_qps = self._plan.target_qps
            if not self._plan.target_qps and record.failure is None:
                self._search(record)
            self._context.progress.step()

    def _search(self, record: VariantRecord) -> None:
        try:
            with self._context.ready(record) as process:
                calibrate(self._context, record, process)
                found = self._found(record, process)
        except VariantError as failed:
            record.failure = (failed.code, failed.detail)
            return
        # Where no rate holds the bound, the blocks show by how much it is missed.
        record.highest_qps = found.highest_qps
        record.target_qps = found.highest_qps or LEAST_SHARE * 1e9 / record.query_ns

    def _found(self, record: VariantRecord, process: VariantProcess) -> Found:
        voided = 0
        while True:
            rate = next_rate(record.probes, record.query_ns, self._plan.latency_bound_ns)
            if isinstance(rate, Found):
                return rate
            self._context.progress.tell(f"{record.name}: {rate:.1f} queries a second")
            record.target_qps = rate
            request = block_request(self._plan, record, f"probe/{len(record.probes)}")
            done = process.block(request, patience_s(request, record.query_ns))
            if judge_block(done.before, done.after, self._context.machine):
                voided += 1
                if voided <= self._plan.max_voided_blocks:
                    continue
            bounded_ns = percentile(np.array(done.latency_ns), self._plan.latency_bound_percent)
            record.probes.append(
                result_pb2.RateProbe(
                    target_qps=rate,
                    achieved_qps=(len(done.latency_ns) - done.unserved_queries) * 1e9 / done.duration_ns,
                    latency_ns=bounded_ns,
                    held=held(
                        latency_ns=bounded_ns,
                        bound_ns=self._plan.latency_bound_ns,
                        unserved_queries=done.unserved_queries,
                        duration_ns=done.duration_ns,
                        last_arrival_ns=done.last_arrival_ns,
                    ),
                )
            )
