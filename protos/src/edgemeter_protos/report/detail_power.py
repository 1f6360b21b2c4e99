"""A result's energy, in full, for people. Pure."""

from __future__ import annotations

from edgemeter_protos.report import units
from edgemeter_protos.report.absent import Exported
from edgemeter_protos.report.lines import line
from edgemeter_protos.report.units import NOT_MEASURED, human_mw, human_uj

_ABSENT = {
    "no_meter": "no meter on this board",
    "not_asked": "the plan wants none",
    "not_measured": "the agent said nothing of it",
}
_LAG_RULES = {
    "extended": "windows extended by its lag",
    "interior": "the interior of windows, past its lag",
}


def energy(one: Exported) -> list[str]:
    """Lines on energy; where there is none, the one that says why."""
    if one["status"] in _ABSENT:
        return [f"{NOT_MEASURED}: {one['detail'] or _ABSENT[one['status']]}"]
    lines = []
    noun = one["sample_noun"]
    if one["status"] == "void":
        lines.append(line("void", one["detail"] or "the readings are not to be believed"))
    lines += [
        line(
            f"net, {_article(noun)} {noun}",
            _with_uncertainty(one["net_uj_per_inference"], one["net_uncertainty_uj"]),
        ),
        line("gross", _with_uncertainty(one["gross_uj_per_inference"], one["gross_uncertainty_uj"])),
        line("power", f"mean {human_mw(one['mean_power_mw'])}, peak {human_mw(one['peak_power_mw'])}"),
        line(
            "idle", f"{human_mw(one['idle_before_mw'])} before, {human_mw(one['idle_after_mw'])} afterwards"
        ),
        line("energy x delay", _energy_delay(one["energy_delay_uj_s"])),
        line("windows", _windows(one)),
        *_meter(one),
    ]
    known = [part for part in one["uncertainty_parts_uj"].items() if part[1] > 0]
    parts = sorted(known, key=lambda part: -part[1])
    if parts:
        texts = [f"{name} {human_uj(value)}" for name, value in parts]
        lines.append(line("uncertain by", ", ".join(texts) + " (one standard uncertainty each)"))
    for rail in one["rails"]:
        whole = "" if rail["in_total"] else " (not in the total)"
        lines.append(line(f"  {rail['name']}", f"{human_mw(rail['mean_mw'])}{whole}"))
    return lines


def calibration(gain: float, offset_mw: float) -> str:
    """ "gain 1.0030, offset 2.10 mW"."""
    return f"gain {gain:.4f}, offset {human_mw(offset_mw)}"


def is_calibrated(meter: Exported) -> bool:
    return meter["calibrated_gain"] not in (None, 1.0) or bool(meter["calibrated_offset_mw"])


def _article(noun: str) -> str:
    return "an" if noun[:1] in "aeiou" else "a"


def _meter(one: Exported) -> list[str]:
    meter = one["meter"]
    if meter["name"] is None:
        return []
    how = [f"{meter['name']} ({meter['kind']})", f"covers {meter['coverage']}"]
    if one["achieved_rate_hz"]:
        how.append(f"{units.human_rate(one['achieved_rate_hz'])} readings/s")
    if one["method"]:
        how.append(f"by {one['method']}")
    if one["lag_rule"]:
        how.append(_LAG_RULES.get(one["lag_rule"], f"lag met by {one['lag_rule']} windows"))
    lines = [line("meter", ", ".join(how))]
    if is_calibrated(meter):
        lines.append(line("calibrated", calibration(meter["calibrated_gain"], meter["calibrated_offset_mw"])))
    if one["sampler_cpu_share"]:
        lines.append(line("reading it took", f"{units.percent(one['sampler_cpu_share'])} of a processor"))
    return lines


def _windows(one: Exported) -> str:
    text = f"{one['windows_kept']} kept, {one['windows_voided']} voided"
    reasons = ", ".join(f"{code} {count}" for code, count in one["void_reasons"].items())
    if reasons:
        text += f" ({reasons})"
    if one["inferences"]:
        duration = units.human_ns(one["windows_duration_ns"])
        text += f"; {one['inferences']:,} {one['sample_noun']}s in {duration}"
    return text


def _with_uncertainty(value: float | None, half: float | None) -> str:
    if value is None or half is None:
        return human_uj(value)
    share = units.plus_minus(value, half)
    return f"{human_uj(value)} ± {human_uj(half)}" + (f" ({share})" if share else "")


def _energy_delay(value_uj_s: float | None) -> str:
    return NOT_MEASURED if value_uj_s is None else f"{value_uj_s:.4g} µJ·s"
