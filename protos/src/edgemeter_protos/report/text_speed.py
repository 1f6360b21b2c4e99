"""How fast a model writes text: as an export has it, and for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from edgemeter_protos.report import units
from edgemeter_protos.report.absent import Exported, interval, present, taken
from edgemeter_protos.report.lines import line
from edgemeter_protos.report.units import NOT_MEASURED, human_ns
from edgemeter_protos.v1 import result_pb2

COUNTS = ("prompt_tokens", "new_tokens", "generations")


def text_speed(result: result_pb2.Result) -> Exported:
    """All None for a model that writes no text; the decode speed too, where one token was written."""
    one, there = result.text_speed, result.HasField("text_speed")
    decoded = there and one.decode_tokens_per_s > 0
    return {
        **taken(one, COUNTS, there=there),
        **_first_token("ttft_p50", one.ttft_p50, there=there),
        **_first_token("ttft_p90", one.ttft_p90, there=there),
        **taken(one, ("decode_tokens_per_s",), there=decoded),
        "decode_ci95": interval(one.decode_ci95_low, one.decode_ci95_high, there=decoded),
        **taken(one, ("prefill_tokens_per_s",), there=there),
    }


def _first_token(name: str, one: result_pb2.Percentile, *, there: bool) -> Exported:
    """An end of the interval that the generations can't give is None."""
    ends = [present(one, "ci95_low_ns"), present(one, "ci95_high_ns")]
    return {
        f"{name}_ns": one.value_ns if there else None,
        f"{name}_ci95_ns": ends if there and ends != [None, None] else None,
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
        line("time to first token", _between(one["ttft_p50_ns"], one["ttft_p50_ci95_ns"])),
        line("p90 of that", _between(one["ttft_p90_ns"], one["ttft_p90_ci95_ns"])),
        line("then", decode),
        line("reading the prompt", f"{rate(one['prefill_tokens_per_s'])} tokens/s"),
    ]


def _between(value_ns: float, ends: Sequence[float | None] | None) -> str:
    if ends is None:
        return human_ns(value_ns)
    low, high = human_ns(ends[0], "no lower end"), human_ns(ends[1], "no upper end")
    return f"{human_ns(value_ns)} (95 %: {low} to {high})"
