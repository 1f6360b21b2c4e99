"""A measurement plan for people: its numbers, and how long a board is busy with it at least. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from edgemeter_protos.report.times import SCENARIOS
from edgemeter_protos.report.units import human_ns, human_rate
from edgemeter_protos.v1 import plan_pb2

PROCESS_START_NS = 1_000_000_000
"""Python, numpy and a runtime; on small boards it takes longer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Least:
    """What a plan takes at least, on one board, for all variants. Slow models, voided blocks and the wait for
    a quiet board come on top."""

    blocks_ns: int
    # On a board with a meter.
    energy_ns: int
    sustained_ns: int

    @property
    def total_ns(self) -> int:
        return self.blocks_ns + self.energy_ns + self.sustained_ns


def least(plan: plan_pb2.Plan, variants: int) -> Least:
    """How long a board is busy with `variants` at least."""
    block_ns = plan.warmup_min_duration_ns + plan.block_min_duration_ns
    starts = plan.processes + plan.cold_starts
    # Idle before all windows and after them.
    energy_ns = (
        2 * plan.idle_duration_ns + variants * plan.energy_windows * plan.energy_window_min_duration_ns
    )
    return Least(
        blocks_ns=variants * (plan.processes * plan.blocks * block_ns + starts * PROCESS_START_NS),
        energy_ns=energy_ns if plan.energy_windows else 0,
        sustained_ns=variants * plan.sustain_duration_ns,
    )


def estimate(plan: plan_pb2.Plan, variants: int) -> str:
    """ "at least 2.4 min a board: blocks 1.2 min, energy 72.0 s (where it has a meter)"."""
    took = least(plan, variants)
    parts = [f"blocks {human_ns(took.blocks_ns)}"]
    if took.energy_ns:
        parts.append(f"energy {human_ns(took.energy_ns)} (where it has a meter)")
    if took.sustained_ns:
        parts.append(f"sustained {human_ns(took.sustained_ns)}")
    if searches(plan):
        parts.append("and the search for the highest rate on top")
    return f"at least {human_ns(took.total_ns)} a board: {', '.join(parts)}"


def searches(plan: plan_pb2.Plan) -> bool:
    """Whether a server's highest rate is looked for."""
    return plan.scenario == plan_pb2.SCENARIO_SERVER and not plan.target_qps


def numbers(plan: plan_pb2.Plan) -> list[tuple[str, str]]:
    """What the plan comes to: a word and its numbers, a line each."""
    return [
        ("profile", plan.profile),
        ("scenario", _scenario(plan)),
        ("blocks", f"{plan.blocks} in each of {plan.processes} processes"),
        (
            "a block",
            f"at least {plan.block_min_queries:,} queries and {human_ns(plan.block_min_duration_ns)}",
        ),
        (
            "warm-up",
            f"at least {plan.warmup_min_queries:,} queries and {human_ns(plan.warmup_min_duration_ns)}",
        ),
        ("repeated", f"up to {plan.max_voided_blocks} voided blocks of a variant"),
        ("batch", f"{plan.batch_size or 1:,}" + _samples_a_query(plan)),
        ("threads", f"{plan.threads}" + _on_cpus(plan)),
        ("accelerator", plan.accelerator or "the runtime's usual one"),
        ("energy", _energy(plan)),
        ("cold starts", f"{plan.cold_starts} beside those of the blocks"),
        ("sustained", human_ns(plan.sustain_duration_ns) if plan.sustain_duration_ns else "no"),
        (
            "operators",
            f"over {plan.profiled_queries:,} queries" if plan.profiled_queries else "not profiled",
        ),
        ("quality", f"{plan.quality_samples:,} samples" if plan.quality_samples else "all samples"),
        ("settling", f"at most {human_ns(plan.settle_timeout_ns)}"),
        ("deadline", human_ns(plan.deadline_ns)),
        ("seed", str(plan.seed)),
    ]


def _scenario(plan: plan_pb2.Plan) -> str:
    text = SCENARIOS.get(plan.scenario, "unknown")
    if plan.scenario != plan_pb2.SCENARIO_SERVER:
        return text
    text += f", {human_rate(plan.target_qps)} queries/s" if plan.target_qps else ", the highest rate"
    if plan.latency_bound_ns:
        text += f", p{plan.latency_bound_percent:g} under {human_ns(plan.latency_bound_ns)}"
    return text


def _samples_a_query(plan: plan_pb2.Plan) -> str:
    return f", {plan.samples_per_query:,} samples a query" if plan.samples_per_query > 1 else ""


def _on_cpus(plan: plan_pb2.Plan) -> str:
    return f" on processors {', '.join(map(str, plan.affinity_cpus))}" if plan.affinity_cpus else ""


def _energy(plan: plan_pb2.Plan) -> str:
    if not plan.energy_windows:
        return "not asked for"
    text = f"{plan.energy_windows} windows of at least {human_ns(plan.energy_window_min_duration_ns)}"
    text += f", idle {human_ns(plan.idle_duration_ns)} before and after"
    if plan.meter:
        text += f", by {plan.meter}"
    return text + (", required" if plan.require_energy else ", where there is a meter")
