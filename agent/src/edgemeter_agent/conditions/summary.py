"""What was seen around all blocks of a variant, in one message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

from edgemeter_agent.conditions.blocks import SeenBlock
from edgemeter_agent.conditions.doubts import changed_texts
from edgemeter_agent.conditions.judge import Machine, grown, shares
from edgemeter_protos.v1 import device_pb2, result_pb2

__all__ = ["SeenBlock", "summarize"]


def summarize(
    blocks: Sequence[SeenBlock],
    machine: Machine,
    unreadable: Sequence[device_pb2.Observable],
    settled_after_ns: int,
    setting_before: result_pb2.Snapshot | None = None,
    setting_after: result_pb2.Snapshot | None = None,
) -> result_pb2.Conditions:
    """Shares are means over the kept blocks, and over all where none was kept; frequencies and temperatures
    are extremes over all. A field stays absent where nothing was read. The settings, of the whole job, fill
    in what the snapshots of blocks leave out."""
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
    conditions.before.CopyFrom(_filled(blocks[0].before, setting_before))
    conditions.after.CopyFrom(_filled(blocks[-1].after, setting_after))
    conditions.governor = blocks[-1].after.governor
    ends = [snapshot for block in blocks for snapshot in (block.before, block.after)]
    frequencies = [snapshot.frequency_hz for snapshot in ends if snapshot.HasField("frequency_hz")]
    if frequencies:
        conditions.frequency_min_hz, conditions.frequency_max_hz = min(frequencies), max(frequencies)
    temperatures = [end.temperature_millicelsius for end in ends if end.HasField("temperature_millicelsius")]
    if temperatures:
        conditions.temperature_max_millicelsius = max(temperatures)
    conditions.changes.extend(_changes(conditions.before, conditions.after))
    _add_shares(conditions, kept or blocks, machine)
    return conditions


def _filled(end: result_pb2.Snapshot, setting: result_pb2.Snapshot | None) -> result_pb2.Snapshot:
    """What the block saw wins."""
    filled = result_pb2.Snapshot()
    if setting is not None:
        filled.CopyFrom(setting)
        filled.governor = ""
    filled.MergeFrom(end)
    filled.thread_run_delay_ns.clear()
    return filled


def _changes(before: result_pb2.Snapshot, after: result_pb2.Snapshot) -> list[str]:
    """For people: what is not as it was before the job, beside what always moves."""
    changes = list(changed_texts([before, after]).values())
    counters = {
        "throttle_events": "over-current events (oc1, oc2)",
        "current_events": "over-current events (oc3)",
        "swapped_pages": "pages swapped",
    }
    for field, what in counters.items():
        if count := grown(before, after, field):
            changes.append(f"{count} {what}")
    if before.throttled_bits != after.throttled_bits and after.HasField("throttled_bits"):
        changes.append(f"get_throttled 0x{before.throttled_bits:x}, then 0x{after.throttled_bits:x}")
    one, other = before.temperature_millicelsius, after.temperature_millicelsius
    if after.HasField("temperature_millicelsius") and abs(other - one) >= 1000:
        changes.append(f"temperature {one / 1000:.1f} °C, then {other / 1000:.1f} °C")
    if before.accelerator_users != after.accelerator_users:
        changes.append(
            f"other users of the accelerator {before.accelerator_users}, then {after.accelerator_users}"
        )
    return changes


def _add_shares(conditions: result_pb2.Conditions, blocks: Sequence[SeenBlock], machine: Machine) -> None:
    seen = [shares(block.before, block.after, machine) for block in blocks]
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
        max(block.after.involuntary_switches - block.before.involuntary_switches, 0) for block in blocks
    )
