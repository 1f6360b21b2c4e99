"""What is known of one variant while its job runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edgemeter_agent.conditions.summary import SeenBlock
from edgemeter_agent.runtimes.installed import InstalledRuntime
from edgemeter_protos.v1 import engine_pb2, result_pb2


@dataclass(frozen=True, kw_only=True)
class TimedBlock:
    process: int
    """From 0 in the order in which the variant's processes were started."""
    number: int
    """From 0 within the process."""
    latency_ns: npt.NDArray[np.int64]
    queueing_ns: npt.NDArray[np.int64]
    """Server: of each query; else empty."""
    most_in_flight: int
    samples: int
    """That went through the model in the timed part."""
    duration_ns: int
    """Of the timed part."""
    seen: SeenBlock


@dataclass(kw_only=True)
class VariantRecord:
    variant: engine_pb2.EngineVariant
    artifact_bytes: int = 0
    runtime: InstalledRuntime | None = None
    ran_on: str = ""
    cpus: tuple[int, ...] = ()
    failure: tuple[str, str] | None = None
    """Code and detail; nothing more is tried then."""
    evaluation_failure: tuple[str, str] | None = None
    batch_queries: int = 0
    """0 until it is known."""
    query_ns: float = 0.0
    """What a query took when it was found out how many go into a sample."""
    target_qps: float = 0.0
    """Server: the rate of its blocks, found or the plan's."""
    probes: list[result_pb2.RateProbe] = field(default_factory=list)
    processes: int = 0
    """Started so far for timing."""
    repeats: int = 0
    """Voided blocks that were, or will be, repeated."""
    blocks: list[TimedBlock] = field(default_factory=list)
    load_ns: list[int] = field(default_factory=list)
    first_inference_ns: list[int] = field(default_factory=list)
    peak_rss_bytes: int = 0
    imported_peak_bytes: int = 0
    """Peak of a process that had imported the runtime and loaded nothing yet."""
    arena_bytes: int | None = None
    arena_detail: str = ""
    energy: result_pb2.Energy = field(default_factory=result_pb2.Energy)
    trace_path: str = ""
    operators: result_pb2.OperatorProfile | None = None
    sustained: result_pb2.Sustained | None = None
    outputs_path: str = ""
    evaluated_samples: int = 0

    @property
    def name(self) -> str:
        return self.variant.label or self.variant.variant_id
