"""What was seen around all blocks of a variant, in one message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from edgemeter_agent.conditions.judge import Machine, shares
from edgemeter_protos.v1 import device_pb2, result_pb2


@dataclass(frozen=True, kw_only=True)
class SeenBlock:
    before: result_pb2.Snapshot
    after: result_pb2.Snapshot
    void_reasons: tuple[str, ...]

    @property
    def kept(self) -> bool:
        return not self.void_reasons


def summarize(
    blocks: Sequence[SeenBlock],
    machine: Machine,
    unreadable: Sequence[device_pb2.Observable],
    settled_after_ns: int,
) -> result_pb2.Conditions:
    """Shares are means over the kept blocks, frequencies and temperatures extremes over all; a field stays
    absent where nothing was read."""
    kept = [block for block in blocks if block.kept]
    reasons = Counter(reason for block in blocks for reason in block.void_reasons)
    conditions = result_pb2.Conditions(
        blocks_kept=len(kept),
        blocks_voided=len(blocks) - len(kept),
        void_reasons=dict(reasons),
        unreadable=unreadable,
        settled_after_ns=settled_after_ns,
    )
    if not blocks:
        return conditions
    conditions.before.CopyFrom(blocks[0].before)
    conditions.after.CopyFrom(blocks[-1].after)
    conditions.governor = blocks[-1].after.governor
    ends = [snapshot for block in blocks for snapshot in (block.before, block.after)]
    frequencies = [snapshot.frequency_hz for snapshot in ends if snapshot.HasField("frequency_hz")]
    if frequencies:
        conditions.frequency_min_hz, conditions.frequency_max_hz = min(frequencies), max(frequencies)
    temperatures = [end.temperature_millicelsius for end in ends if end.HasField("temperature_millicelsius")]
    if temperatures:
        conditions.temperature_max_millicelsius = max(temperatures)
    if kept:
        _add_shares(conditions, kept, machine)
    return conditions


def _add_shares(conditions: result_pb2.Conditions, kept: Sequence[SeenBlock], machine: Machine) -> None:
    seen = [shares(block.before, block.after, machine) for block in kept]
    means = {
        "contention_share": [one.others for one in seen],
        "steal_share": [one.steal for one in seen],
        "psi_share": [one.pressure for one in seen],
        "run_delay_share": [one.run_delay for one in seen],
    }
    for field, values in means.items():
        known = [value for value in values if value is not None]
        if known:
            setattr(conditions, field, fmean(known))
    conditions.involuntary_switches = sum(
        max(block.after.involuntary_switches - block.before.involuntary_switches, 0) for block in kept
    )
