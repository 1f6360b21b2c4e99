"""How fast a model writes text: as an export has it, and for people. Pure."""

from __future__ import annotations

from typing import Any

from edgemeter_protos.report import units
from edgemeter_protos.report.absent import Exported, interval, taken
from edgemeter_protos.report.lines import line
from edgemeter_protos.report.times import percentile
from edgemeter_protos.report.units import NOT_MEASURED, human_ns
from edgemeter_protos.v1 import result_pb2

COUNTS = ("prompt_tokens", "new_tokens", "generations")


def text_speed(result: result_pb2.Result) -> Exported:
    """All None for a model that writes no text; the decode speed too, where one token was written."""
    one, there = result.text_speed, result.HasField("text_speed")
    decoded = there and one.decode_tokens_per_s > 0
    return {
        **taken(one, COUNTS, there=there),
        "ttft_p50": percentile(one.ttft_p50) if there else None,
        "ttft_p90": percentile(one.ttft_p90) if there else None,
        **taken(one, ("decode_tokens_per_s",), there=decoded),
        "decode_ci95": interval(one.decode_ci95_low, one.decode_ci95_high, there=decoded),
        **taken(one, ("prefill_tokens_per_s",), there=there),
    }


def lines(one: Exported) -> list[str]:
    """None for a model that writes no text. `one` is what `text_speed` gives."""
    if one["generations"] is None:
        return []
    rate = units.human_rate
    decode = NOT_MEASURED
    if one["decode_tokens_per_s"] is not None:
        low, high = one["decode_ci95"]
        decode = (
            f"{rate(one['decode_tokens_per_s'])} tokens/s (95 % over processes: {rate(low)} to {rate(high)})"
        )
    return [
        line(
            "how",
            f"{one['generations']:,} generations: {one['prompt_tokens']} tokens given,"
            f" {one['new_tokens']} written",
        ),
        line("time to first token", _between(one["ttft_p50"])),
        line("p90 of that", _between(one["ttft_p90"])),
        line("then", decode),
        line("reading the prompt", f"{rate(one['prefill_tokens_per_s'])} tokens/s"),
    ]


def _between(one: dict[str, Any]) -> str:
    low, high = one["ci95_low_ns"], one["ci95_high_ns"]
    said = human_ns(one["value_ns"])
    if low is None and high is None:
        return said
    return f"{said} (95 %: {human_ns(low, 'no lower end')} to {human_ns(high, 'no upper end')})"
