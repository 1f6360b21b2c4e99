"""The same loop over an empty runtime: what the harness itself takes, in time and memory."""

from __future__ import annotations

import numpy as np

from edgemeter_agent.engine.context import JobContext, JobError
from edgemeter_agent.engine.variant_process import VariantError
from edgemeter_agent.runtimes import NULL
from edgemeter_protos.v1 import engine_pb2, plan_pb2

SAMPLES = 10_000


def measure_harness(context: JobContext) -> None:
    """Sets the context's overhead and the empty process's peak. Raises JobError where even that fails."""
    context.progress.tell("measuring the harness")
    try:
        with context.process() as process:
            process.load(engine_pb2.ChildLoad(runtime=NULL.name, threads=1, batch_size=1))
            process.golden(engine_pb2.ChildGolden())
            block = process.block(
                engine_pb2.ChildBlock(
                    scenario=plan_pb2.SCENARIO_SINGLE_STREAM,
                    warmup_min_queries=SAMPLES,
                    min_queries=SAMPLES,
                    batch_queries=1,
                    samples_per_query=1,
                )
            )
            context.empty_peak_bytes = process.exit()
    except VariantError as failed:
        raise JobError(f"the harness can't measure itself: {failed.detail}") from None
    context.overhead_ns = float(np.median(np.array(block.latency_ns)))
    context.progress.step()
