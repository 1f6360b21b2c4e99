"""Energy, memory and the board's conditions, as an export has them. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from edgemeter_protos.report.absent import Exported, all_present, non_zero, taken
from edgemeter_protos.v1 import device_pb2, result_pb2

ENERGY_STATUSES: Mapping[int, str] = {
    result_pb2.ENERGY_STATUS_NO_METER: "no_meter",
    result_pb2.ENERGY_STATUS_MEASURED: "measured",
    result_pb2.ENERGY_STATUS_NOT_ASKED: "not_asked",
    result_pb2.ENERGY_STATUS_VOID: "void",
}
_READ = (result_pb2.ENERGY_STATUS_MEASURED, result_pb2.ENERGY_STATUS_VOID)

ENERGY_NUMBERS = (
    "gross_uj_per_inference",
    "net_uj_per_inference",
    "gross_uncertainty_uj",
    "net_uncertainty_uj",
    "mean_power_mw",
    "peak_power_mw",
    "idle_before_mw",
    "idle_after_mw",
    "energy_delay_uj_s",
    "achieved_rate_hz",
    "sampler_cpu_share",
)
ENERGY_COUNTS = ("windows_kept", "windows_voided", "inferences", "windows_duration_ns")
METER_TEXTS = ("name", "kind", "coverage", "detail")
METER_NUMBERS = ("rate_hz", "resolution_mw", "gain_error", "offset_error_mw", "lag_ns", "has_counter")
MEMORY_NUMBERS = ("empty_peak_rss_bytes", "model_bytes")

SNAPSHOT_NUMBERS = (
    "frequency_hz",
    "temperature_millicelsius",
    "throttled_bits",
    "throttle_events",
    "current_events",
    "psi_cpu_some_us",
    "cpu_busy_ns",
    "cpu_steal_ns",
    "load_average_1m",
    "process_cpu_ns",
    "run_delay_ns",
    "involuntary_switches",
    "boost",
    "swap_used_bytes",
    "swapped_pages",
    "accelerator_users",
    "accelerator_frequency_hz",
    "supply_max_ma",
    "supply_mv",
    "realtime_offset_ns",
)
CONDITION_NUMBERS = (
    "frequency_min_hz",
    "frequency_max_hz",
    "temperature_max_millicelsius",
    "contention_share",
    "steal_share",
    "psi_share",
    "run_delay_share",
    "involuntary_switches",
)


def energy(one: result_pb2.Energy) -> Exported:
    """Numbers where a meter was read: all of them where it is to be believed, and of a void reading those
    that came out."""
    read = one.status in _READ
    return {
        "status": ENERGY_STATUSES.get(one.status, "not_measured"),
        "detail": one.detail,
        "meter": meter(one.meter, there=read and one.HasField("meter")),
        "method": (one.method or None) if read else None,
        "lag_rule": (one.lag_rule or None) if read else None,
        "sample_noun": (one.sample_noun or "inference") if read else None,
        **_energy_numbers(one),
        **taken(one, ENERGY_COUNTS, there=read),
        "void_reasons": dict(sorted(one.void_reasons.items())),
        "rails": [taken(each, ("name", "mean_mw", "in_total"), there=True) for each in one.rails],
        "uncertainty_parts_uj": dict(sorted(one.uncertainty_parts_uj.items())),
    }


def _energy_numbers(one: result_pb2.Energy) -> Exported:
    """Of a void reading, those that came out. Without idle power there is no net energy, not even 0."""
    if one.status != result_pb2.ENERGY_STATUS_MEASURED:
        read = one.status in _READ
        return {name: (getattr(one, name) or None) if read else None for name in ENERGY_NUMBERS}
    numbers = taken(one, ENERGY_NUMBERS, there=True) | non_zero(one, ("idle_before_mw", "idle_after_mw"))
    if numbers["idle_before_mw"] is None and numbers["idle_after_mw"] is None:
        numbers["net_uj_per_inference"] = numbers["net_uncertainty_uj"] = None
    return numbers


def meter(one: device_pb2.MeterFacts, *, there: bool = True) -> Exported:
    """What a meter is; a calibration of gain 1 and offset 0 where it has none."""
    return {
        **taken(one, METER_TEXTS, there=there),
        "rails": list(one.rails),
        **taken(one, METER_NUMBERS, there=there),
        "calibrated_gain": (one.calibrated_gain or 1.0) if there else None,
        "calibrated_offset_mw": one.calibrated_offset_mw if there else None,
    }


def memory(result: result_pb2.Result) -> Exported:
    """The variant's process, and what of it is the model's."""
    one = result.memory
    return {
        "peak_rss_bytes": one.peak_rss_bytes or result.peak_rss_bytes or None,
        **non_zero(one, MEMORY_NUMBERS),
        **all_present(one, ("arena_bytes",)),
        "arena_detail": one.arena_detail or None,
    }


def conditions(one: result_pb2.Conditions) -> Exported:
    return {
        "blocks_kept": one.blocks_kept,
        "blocks_voided": one.blocks_voided,
        "void_reasons": dict(sorted(one.void_reasons.items())),
        **all_present(one, CONDITION_NUMBERS),
        "governor": one.governor or None,
        "settled_after_ns": one.settled_after_ns,
        "cpus": list(one.cpus),
        "changes": list(one.changes),
        "before": _snapshot(one.before),
        "after": _snapshot(one.after),
        "unreadable": [_observable(each) for each in one.unreadable],
    }


def _snapshot(one: result_pb2.Snapshot) -> Exported:
    return {
        "monotonic_ns": one.monotonic_ns or None,
        **all_present(one, SNAPSHOT_NUMBERS),
        "governor": one.governor or None,
        "power_mode": one.power_mode or None,
        "zones_millicelsius": dict(sorted(one.zones_millicelsius.items())),
        "clocks_hz": dict(sorted(one.clocks_hz.items())),
    }


def _observable(one: device_pb2.Observable) -> Exported:
    return {"name": one.name, "detail": one.detail}
