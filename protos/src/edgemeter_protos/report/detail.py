"""One result in full, for people: sections of lines, made of what an export has. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from edgemeter_protos.report import detail_power, text_speed, units
from edgemeter_protos.report.absent import Exported
from edgemeter_protos.report.lines import line
from edgemeter_protos.report.sparkline import marker, sparkline
from edgemeter_protos.report.units import NOT_MEASURED, human_bytes, human_ns

TOP_OPERATORS = 10
_OUTCOMES = {"faster": "faster", "slower": "slower", "cannot_tell": "cannot tell"}
_SLOWED_BECAUSE = {
    "throttled": "the board said that it was throttled",
    "frequency_fell": "the processor's frequency fell",
    "temperature": "the temperature had risen",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Section:
    title: str
    lines: Sequence[str]


def sections(one: Exported) -> list[Section]:
    """All that there is to know of one variant on one device, the verdict first."""
    return [*_made(one, (("verdict", _verdict), ("quality", _quality))), *measured_sections(one)]


def measured_sections(one: Exported) -> list[Section]:
    """Without what only a coordinator knows: which device it was, and quality."""
    return _made(
        one,
        (
            ("latency", _latency),
            ("text", lambda each: text_speed.lines(each["text_speed"])),
            ("serving", _serving),
            ("against the baseline", _comparison),
            ("cold start", _cold),
            ("energy", lambda each: detail_power.energy(each["energy"])),
            ("memory", _memory),
            ("operators", _operators),
            ("sustained", _sustained),
            ("conditions", _conditions),
        ),
    )


def _made(one: Exported, makers: Sequence[tuple[str, Callable[[Exported], list[str]]]]) -> list[Section]:
    made = [Section(title=title, lines=make(one)) for title, make in makers]
    return [section for section in made if section.lines]


def _verdict(one: Exported) -> list[str]:
    verdict = one["verdict"]
    reasons = [line(f"  {reason['code']}", reason["detail"]) for reason in verdict["reasons"]]
    ran = " on ".join(filter(None, (one["runtime"], one["ran_on"]))) or "no runtime"
    return [line(verdict["state"], f"{one['device']['name']} ({one['device']['board']}), {ran}"), *reasons]


def _quality(one: Exported) -> list[str]:
    quality = one["quality"]
    if quality["metric"] is None:
        return []
    value = NOT_MEASURED if quality["value"] is None else f"{quality['value']:.4f}"
    if quality["ci95"]:
        value += f" ({quality['ci95'][0]:.4f} to {quality['ci95'][1]:.4f})"
    if quality["n"]:
        value += f" over {quality['n']:,} samples"
    there = quality["coordinator_value"]
    return [
        line(f"{quality['metric']} on the device", value),
        line("on the coordinator", NOT_MEASURED if there is None else f"{there:.4f}"),
    ]


def _latency(one: Exported) -> list[str]:
    latency = one["latency"]
    if latency["n"] is None:
        return [NOT_MEASURED]
    how = f"{latency['scenario'] or 'unknown scenario'}, {latency['n']:,} timed samples"
    for name, text in (
        ("batch_size", "batches of {}"),
        ("samples_per_query", "{} samples a query"),
        ("batch_queries", "means of {} queries"),
    ):
        if (latency[name] or 1) > 1:
            how += f", {text.format(latency[name])}"
    median = human_ns(latency["p50_ns"])
    if latency["ci95_ns"]:
        median += f" (95 % over processes: {_between(latency['ci95_ns'])})"
    if one["text_speed"]["generations"]:
        how += ", each a whole generation"
    lines = [line("how", how), line("median", median)]
    lines += [line(_percent(each), _percentile(each)) for each in latency["percentiles"]]
    if not latency["percentiles"]:
        lines += [line(name, human_ns(latency[f"{name}_ns"])) for name in ("p90", "p99")]
    lines.append(
        line(
            "mean, least, most",
            ", ".join(human_ns(latency[name]) for name in ("mean_ns", "min_ns", "max_ns")),
        )
    )
    lines.append(line("outliers", f"{latency['outliers']:,} (counted, never dropped)"))
    throughput = one["throughput"]
    if throughput["samples_per_s"] is not None:
        rate = f"{units.human_rate(throughput['samples_per_s'])} samples/s"
        if throughput["ci95"]:
            low, high = throughput["ci95"]
            rate += f" (95 %: {units.human_rate(low)} to {units.human_rate(high)})"
        lines.append(line("throughput", rate))
    overhead = one["harness_overhead_ns"]
    lines.append(line("the harness itself", f"{human_ns(overhead)} a query, not subtracted"))
    return lines


def _percent(one: Exported) -> str:
    return f"p{one['percent']:g}"


def _percentile(one: Exported) -> str:
    low, high, bound = one["ci95_low_ns"], one["ci95_high_ns"], one["early_stopping_ns"]
    said = human_ns(one["value_ns"])
    if low is not None or high is not None:
        said += f" (95 %: {human_ns(low, 'no lower end')} to {human_ns(high, 'no upper end')})"
    if bound is None:
        return f"{said}, too few queries for an early-stopping bound"
    return f"{said}, at most {human_ns(bound)} by early stopping"


def _between(pair: Sequence[float]) -> str:
    return f"{human_ns(pair[0])} to {human_ns(pair[1])}"


def _serving(one: Exported) -> list[str]:
    serving, plan = one["serving"], one["plan"] or {}
    if serving["achieved_qps"] is None:
        return []
    rate = units.human_rate
    lines = [
        line(
            "arrived, finished", f"{rate(serving['target_qps'])}, {rate(serving['achieved_qps'])} queries/s"
        ),
        line(
            "waited",
            f"median {human_ns(serving['queueing_p50_ns'])}, p99 {human_ns(serving['queueing_p99_ns'])}",
        ),
        line("most at once", f"{serving['most_in_flight']:,} queries waiting or running"),
    ]
    if serving["bound_held"] is not None:
        bound = f"p{plan.get('latency_bound_percent') or 0:g} under {human_ns(plan.get('latency_bound_ns'))}"
        lines.append(line("bound", f"{bound}: {'held' if serving['bound_held'] else 'not held'}"))
    if serving["highest_qps"] is not None:
        lines.append(line("highest rate held", f"{rate(serving['highest_qps'])} queries/s"))
    for probe in serving["probes"]:
        held = "held" if probe["held"] else "not held"
        lines.append(
            line(f"  at {rate(probe['target_qps'])} queries/s", f"{human_ns(probe['latency_ns'])}, {held}")
        )
    return lines


def _comparison(one: Exported) -> list[str]:
    compared = one["comparison"]
    if compared["outcome"] is None:
        return []
    ratio = f"{compared['ratio']:.3f}x its latency"
    if compared["ci95"]:
        ratio += f" (95 %, corrected: {compared['ci95'][0]:.3f} to {compared['ci95'][1]:.3f})"
    return [
        line(_OUTCOMES[compared["outcome"]], f"than {compared['baseline_recipe'] or 'the baseline'}: {ratio}")
        if compared["outcome"] != "cannot_tell"
        else line("cannot tell", f"from {compared['baseline_recipe'] or 'the baseline'}: {ratio}"),
        line("p value", f"{compared['p_value']:.2g} (Holm), from {compared['pairs']} pairs of blocks"),
    ]


def _cold(one: Exported) -> list[str]:
    cold = one["cold"]

    def said(name: str) -> str:
        text = human_ns(cold[f"{name}_ns"])
        most = cold[f"{name}_max_ns"]
        return f"{text}, at most {human_ns(most)}" if most else text

    first = "first generation" if one["text_speed"]["generations"] else "first inference"
    lines = [line("load", said("load")), line(first, said("first_inference"))]
    if cold["processes"]:
        lines.append(line("medians over", f"{cold['processes']} fresh processes"))
    return lines


def _memory(one: Exported) -> list[str]:
    memory = one["memory"]
    arena = human_bytes(memory["arena_bytes"])
    if memory["arena_detail"]:
        arena += f" ({memory['arena_detail']})"
    return [
        line("peak of the process", human_bytes(memory["peak_rss_bytes"])),
        line("without a model", human_bytes(memory["empty_peak_rss_bytes"])),
        line("the model's share", human_bytes(memory["model_bytes"])),
        line("the runtime's arena", arena),
    ]


def _operators(one: Exported) -> list[str]:
    operators = one["operators"]
    if operators["unavailable"]:
        return [f"{NOT_MEASURED}: {operators['unavailable']}"]
    if not operators["operators"]:
        return []
    shown: list[dict[str, Any]] = operators["operators"][:TOP_OPERATORS]
    width = max(len(each["kind"]) for each in shown)
    lines = [
        f"{units.percent(each['share']):>6}  {human_ns(each['ns_per_query']):>8}  {each['kind']:{width}}  "
        f"{each['name']}" + (f"  [{each['ran_on']}]" if each["ran_on"] else "")
        for each in shown
    ]
    hidden = len(operators["operators"]) - len(shown)
    if hidden:
        rest = sum(each["share"] for each in operators["operators"][TOP_OPERATORS:])
        lines.append(f"{units.percent(rest):>6}  {hidden} more operators")
    lines.append(
        f"by {operators['source'] or 'the runtime'}, {operators['queries'] or 0:,} queries of "
        f"{human_ns(operators['query_ns'])}: slower than one that is not profiled"
    )
    return lines


_COURSES: tuple[tuple[str, str, Callable[[float | None], str]], ...] = (
    ("latency (p50)", "p50_ns", human_ns),
    ("frequency", "frequency_hz", units.human_hz),
    ("temperature", "temperature_millicelsius", units.human_celsius),
    ("power", "power_mw", units.human_mw),
)


def _sustained(one: Exported) -> list[str]:
    sustained = one["sustained"]
    if sustained["duration_ns"] is None:
        return []
    points = sustained["points"]
    lines = [
        line(
            "ran for",
            f"{human_ns(sustained['duration_ns'])}; p50 {human_ns(sustained['first_p50_ns'])} at first, "
            f"{human_ns(sustained['last_p50_ns'])} at last",
        )
    ]
    after = sustained["slowed_after_ns"]
    if after is None:
        lines.append(line("slowed down", "no"))
    else:
        why = _SLOWED_BECAUSE.get(sustained["slowed_because"] or "", "the board showed no reason")
        lines.append(line("slowed down", f"after {human_ns(after)}: {why}"))
    for label, name, human in _COURSES:
        values = [point[name] for point in points]
        known = [value for value in values if value is not None]
        if not known:
            lines.append(line(label, NOT_MEASURED))
            continue
        lines.append(line(label, f"{sparkline(values)}  {human(min(known))} to {human(max(known))}"))
        if name == "p50_ns" and after is not None:
            onset = next((index for index, point in enumerate(points) if point["at_ns"] >= after), None)
            if onset is not None:
                lines.append(line("", f"{marker(onset, len(points))} slowed down here"))
    throttled = sum(point["throttled"] for point in points)
    if throttled:
        lines.append(line("throttled", f"in {throttled} of {len(points)} intervals"))
    return lines


def _conditions(one: Exported) -> list[str]:
    conditions = one["conditions"]
    voided = ", ".join(f"{code} {count}" for code, count in conditions["void_reasons"].items())
    blocks = f"{conditions['blocks_kept']} kept, {conditions['blocks_voided']} voided"
    low, high = conditions["frequency_min_hz"], conditions["frequency_max_hz"]
    frequency = units.human_hz(low) + (f" to {units.human_hz(high)}" if high not in (None, low) else "")
    return [
        line("blocks", blocks + (f" ({voided})" if voided else "")),
        line("governor", conditions["governor"] or "none"),
        line("frequency", frequency),
        line("highest temperature", units.human_celsius(conditions["temperature_max_millicelsius"])),
        line("others took", units.percent(conditions["contention_share"])),
        *(line("changed meanwhile", change) for change in conditions["changes"]),
        *(
            line("could not be read", f"{each['name']}: {each['detail']}")
            for each in conditions["unreadable"]
        ),
    ]
