"""A load without a pause, long enough for the board to heat up: what becomes of latency, and when."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import numpy as np

from edgemeter_agent.conditions.settle import settle
from edgemeter_agent.energy.sampler import Sampler
from edgemeter_agent.energy.trace import Trace
from edgemeter_agent.engine.context import JobContext
from edgemeter_agent.engine.power_phase import ChosenMeter
from edgemeter_agent.engine.record import VariantRecord
from edgemeter_agent.engine.sizing import window_patience_s
from edgemeter_agent.engine.variant_process import VariantError
from edgemeter_agent.statistics.onset import summarize_sustained
from edgemeter_protos.v1 import engine_pb2, result_pb2

POINTS = 240
"""In the whole time: enough to see a board throttle in steps, few enough for a message."""
SHORTEST_POINT_NS = 250_000_000


class SustainPhase:
    """Sets the records' `sustained`. Between variants the board is given time to cool down."""

    def __init__(self, context: JobContext, records: list[VariantRecord], chosen: ChosenMeter) -> None:
        self._context, self._meter = context, chosen.meter
        self._records = records if context.plan.sustain_duration_ns else []
        context.progress.plan(len(self._records))

    def run(self) -> None:
        plan = self._context.plan
        for record in self._records:
            if record.failure is None:
                self._context.progress.tell(f"{record.name}: waiting for the board to cool down")
                settle(self._context.board, self._context.machine, plan.settle_timeout_ns)
                self._context.progress.tell(
                    f"{record.name}: sustained for {plan.sustain_duration_ns / 1e9:.0f} s"
                )
                self._sustain(record)
            self._context.progress.step()

    def _sustain(self, record: VariantRecord) -> None:
        plan = self._context.plan
        request = engine_pb2.ChildWindow(
            duration_ns=plan.sustain_duration_ns,
            warmup_min_queries=plan.warmup_min_queries,
            point_interval_ns=max(plan.sustain_duration_ns // POINTS, SHORTEST_POINT_NS),
        )
        trace = None
        try:
            with self._context.ready(record) as process, contextlib.ExitStack() as stack:
                sampler = stack.enter_context(Sampler(self._meter)) if self._meter else None
                done = process.window(request, window_patience_s(request, record.window_query_ns))
                if sampler is not None:
                    trace = sampler.trace()
        except VariantError as failed:
            record.failure = (failed.code, failed.detail)
            return
        points = list(done.points)
        if trace is not None:
            add_power(points, done.begin_ns, trace)
        record.sustained = summarize_sustained(done.end_ns - done.begin_ns, points)


def add_power(points: Sequence[result_pb2.SustainedPoint], begin_ns: int, trace: Trace) -> None:
    """Each point's mean of the readings within its interval; none where there was no reading."""
    since_ns = trace.monotonic_ns - begin_ns
    from_ns = 0
    for point in points:
        within = trace.total_mw[(since_ns >= from_ns) & (since_ns < point.at_ns)]
        mean = float(np.mean(within)) if within.size else math.nan
        if math.isfinite(mean):
            point.power_mw = mean
        from_ns = point.at_ns
