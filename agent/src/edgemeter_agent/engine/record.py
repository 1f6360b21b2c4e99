"""What is known of one variant while its job runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edgemeter_agent.conditions.summary import SeenBlock
from edgemeter_agent.runtimes.installed import InstalledRuntime
from edgemeter_protos.text_plans import text_plan
from edgemeter_protos.v1 import engine_pb2, plan_pb2, result_pb2

DECODED_NOUN = "token"


@dataclass(frozen=True, kw_only=True)
class TimedBlock:
    process: int
    """The round of fresh processes, from 0; the same for all variants."""
    number: int
    """The pass over the variants within the round, from 0; repeats of voided blocks come last."""
    latency_ns: npt.NDArray[np.int64]
    queueing_ns: npt.NDArray[np.int64]
    """Server: of each query; else empty."""
    first_token_ns: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    """A model that writes text: of each query; else empty."""
    most_in_flight: int
    unserved_queries: int = 0
    """Server: the last so many latencies are of queries that had not begun when the block was given up."""
    last_arrival_ns: int = 0
    """Server: from the start of the timed part."""
    samples: int
    """That went through the model in the timed part."""
    duration_ns: int
    """Of the timed part."""
    seen: SeenBlock


@dataclass(kw_only=True)
class VariantRecord:
    variant: engine_pb2.EngineVariant
    artifact_bytes: int = 0
    model_path: str = ""
    """What a runtime loads: the artifact, or the folder that it was unpacked to."""
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
    decode_ns: float = 0.0
    """A model that writes text: what a token after the first took then."""
    target_qps: float = 0.0
    """Server: the rate of its blocks, found or the plan's."""
    highest_qps: float | None = None
    """Server: that held the bound, where it was looked for."""
    probes: list[result_pb2.RateProbe] = field(default_factory=list)
    repeats: int = 0
    """Voided blocks that were, or will be, repeated."""
    blocks: list[TimedBlock] = field(default_factory=list)
    load_ns: list[int] = field(default_factory=list)
    first_inference_ns: list[int] = field(default_factory=list)
    peak_rss_bytes: int = 0
    imported_peak_bytes: int = 0
    """Peak of a process that had imported the runtime and loaded nothing yet."""
    loaded_peak_bytes: int = 0
    """Peak of a process that had run the model for the first time, and stored no samples yet."""
    arena_bytes: int | None = None
    arena_detail: str = ""
    energy: result_pb2.Energy = field(default_factory=result_pb2.Energy)
    energy_doubts: tuple[tuple[str, str], ...] = ()
    """Code and detail of what makes the energy worth less than it could be."""
    trace_path: str = ""
    operators: result_pb2.OperatorProfile | None = None
    sustained: result_pb2.Sustained | None = None
    outputs_path: str = ""
    evaluated_samples: int = 0

    @property
    def writes_text(self) -> bool:
        """A query is one generation, and what windows run is one decoded token."""
        return self.variant.HasField("generation")

    def plan_of(self, plan: plan_pb2.Plan) -> plan_pb2.Plan:
        """As it is for the blocks of this variant."""
        return text_plan(plan, self.variant.generation) if self.writes_text else plan

    @property
    def window_query_ns(self) -> float:
        """What a query of a window takes, about."""
        return self.decode_ns if self.writes_text else self.query_ns

    @property
    def sample_noun(self) -> str:
        """What one sample in a window is to a user."""
        if self.writes_text:
            return DECODED_NOUN
        noun = self.variant.sample_noun
        # A model of language that does not write takes windows of many tokens.
        return "inference" if noun in ("", DECODED_NOUN) else noun

    @property
    def name(self) -> str:
        return self.variant.label or self.variant.variant_id
