"""Whether a variant's numbers can be believed: a pure function of what happened.

- void: there are no numbers, or none that say anything of the variant on this board. The reasons say why.
- degraded: numbers to look at, with a reservation that the reasons name.
- valid: nothing speaks against them. A valid verdict may still carry a reason; it is then a note that limits
  one of the numbers (the 99th percentile of few samples), not all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from edgemeter_protos.v1 import result_pb2

BLOCKS_VOIDED = "blocks_voided"
BOUND_NOT_HELD = "bound_not_held"
EMULATED = "emulated"
ENERGY_MISSING = "energy_missing"
ENERGY_VOID = "energy_void"
FEW_SAMPLES_P99 = "few_samples_p99"
HOT = "hot"
WIDE_INTERVAL = "wide_interval"

P99_MIN_SAMPLES = 662
"""Fewest queries for which LoadGen's early stopping gives a 99th percentile with 99 % confidence (MLPerf
Inference rules, "Early stopping"). A note: whoever wants p99 plans for it, and p50 loses nothing."""

MAX_INTERVAL_SHARE = 0.10
"""Of the median: high - low of its 95 % interval. pyperf, too, warns when a spread exceeds a tenth."""

Reason = tuple[str, str]
"""Code and detail."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a verdict is made of."""

    failure: Reason | None = None
    """Why the variant could not be measured to its end."""
    evaluation_failure: Reason | None = None
    """Likewise, of why it could not be evaluated; its timings stand."""
    emulated_because: str | None = None
    blocks_planned: int
    blocks_kept: int
    void_reasons: Mapping[str, int] = field(default_factory=dict)
    """Reason code -> blocks voided for it."""
    evidence: Mapping[str, str] = field(default_factory=dict)
    """Reason code -> what was seen there, in a few words (`conditions.evidence`)."""
    doubts: Sequence[Reason] = ()
    """What degrades though blocks could be kept, and `notes`, what does not (`conditions.doubts`)."""
    notes: Sequence[Reason] = ()
    started_hot: bool = False
    """The board had not cooled down in time. Whatever else was not settled is judged block by block."""
    samples: int = 0
    interval_share: float | None = None
    """(high - low) / median; None where nothing was timed."""
    energy: result_pb2.Energy | None = None
    """None where a variant failed before it came to that."""
    require_energy: bool = False
    serving: result_pb2.Serving | None = None
    """Of a server's queries."""


def decide(facts: Facts) -> result_pb2.Verdict:
    """The worst state of all that speaks against the numbers, with every reason, worst first."""
    void = _void_reasons(facts)
    degraded = _degraded_reasons(facts)
    notes = _notes(facts)
    if void:
        state = result_pb2.VERDICT_STATE_VOID
    elif degraded:
        state = result_pb2.VERDICT_STATE_DEGRADED
    else:
        state = result_pb2.VERDICT_STATE_VALID
    return result_pb2.Verdict(
        state=state,
        reasons=[
            result_pb2.VerdictReason(code=code, detail=detail) for code, detail in void + degraded + notes
        ],
    )


def _void_reasons(facts: Facts) -> list[Reason]:
    reasons = []
    if facts.failure is not None:
        reasons.append(facts.failure)
    if facts.emulated_because is not None:
        reasons.append((EMULATED, f"timings of an emulated board mean nothing: {facts.emulated_because}"))
    if facts.failure is None and 2 * facts.blocks_kept < facts.blocks_planned:
        reasons += _voided_blocks(facts)
    if facts.failure is None and facts.require_energy and not _has_energy(facts):
        detail = facts.energy.detail if facts.energy else ""
        reasons.append((ENERGY_MISSING, "the plan requires energy" + (f": {detail}" if detail else "")))
    return reasons


def _degraded_reasons(facts: Facts) -> list[Reason]:
    reasons = []
    if facts.failure is None and facts.blocks_planned <= 2 * facts.blocks_kept < 2 * facts.blocks_planned:
        reasons += _voided_blocks(facts)
    reasons += facts.doubts
    if facts.evaluation_failure is not None:
        reasons.append(facts.evaluation_failure)
    if facts.started_hot:
        reasons.append((HOT, "the board did not cool down in the time that the plan gives it"))
    if facts.interval_share is not None and facts.interval_share > MAX_INTERVAL_SHARE:
        reasons.append(
            (
                WIDE_INTERVAL,
                f"the 95 % interval of p50 is {facts.interval_share:.0%} of p50; more blocks narrow it",
            )
        )
    if facts.energy and facts.energy.status == result_pb2.ENERGY_STATUS_VOID:
        reasons += _energy_reasons(facts.energy, "; latency stands")
    return reasons


def _has_energy(facts: Facts) -> bool:
    return facts.energy is not None and facts.energy.status == result_pb2.ENERGY_STATUS_MEASURED


def _voided_blocks(facts: Facts) -> list[Reason]:
    """One reason for each condition that voided blocks, the commonest first."""
    kept = f"{facts.blocks_kept} of {facts.blocks_planned} blocks could be kept"
    if facts.blocks_kept == 0 and facts.samples:
        kept += ", the numbers are of voided ones"
    if not facts.void_reasons:
        return [(BLOCKS_VOIDED, kept)]
    ordered = sorted(facts.void_reasons.items(), key=lambda item: (-item[1], item[0]))
    return [
        (
            code,
            f"voided {count} blocks; {kept}"
            + (f": {facts.evidence[code]}" if code in facts.evidence else ""),
        )
        for code, count in ordered
    ]


def _energy_reasons(energy: result_pb2.Energy, consequence: str) -> list[Reason]:
    """One for each code that voided windows, the commonest first."""
    windows = energy.windows_kept + energy.windows_voided
    told = f": {energy.detail}" if energy.detail else ""
    if not energy.void_reasons and energy.status == result_pb2.ENERGY_STATUS_VOID:
        return [(ENERGY_VOID, f"energy is void{consequence}{told}")]
    ordered = sorted(energy.void_reasons.items(), key=lambda item: (-item[1], item[0]))
    return [
        (code, f"voided {count} of {windows} energy windows{consequence}{told}") for code, count in ordered
    ]


def _notes(facts: Facts) -> list[Reason]:
    notes = list(facts.notes)
    if 0 < facts.samples < P99_MIN_SAMPLES:
        notes.append((FEW_SAMPLES_P99, f"{facts.samples} samples; a 99th percentile wants {P99_MIN_SAMPLES}"))
    if facts.energy and facts.energy.status == result_pb2.ENERGY_STATUS_MEASURED:
        notes += _energy_reasons(facts.energy, "; energy is of the others")
    if facts.serving and facts.serving.HasField("bound_held") and not facts.serving.bound_held:
        notes.append(
            (
                BOUND_NOT_HELD,
                f"at {facts.serving.achieved_qps:.4g} queries a second the latency bound was not held",
            )
        )
    return notes
