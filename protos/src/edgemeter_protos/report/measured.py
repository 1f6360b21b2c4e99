"""What a board measured of a variant, as an export has it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from edgemeter_protos.report import onboard, text_speed, times
from edgemeter_protos.report.absent import Exported
from edgemeter_protos.v1 import result_pb2

VERDICTS: Mapping[int, str] = {
    result_pb2.VERDICT_STATE_VALID: "valid",
    result_pb2.VERDICT_STATE_DEGRADED: "degraded",
    result_pb2.VERDICT_STATE_VOID: "void",
}


def measured(result: result_pb2.Result, recipes: Mapping[str, str]) -> Exported:
    """Everything in a result but its ids. `recipes` names variants by their ids, the baseline's above all. A
    value that was not measured is None (null), never 0 (`report.absent`)."""
    return {
        "runtime": f"{result.runtime.name} {result.runtime.version}".strip() or None,
        "ran_on": result.runtime.ran_on or None,
        "plan": times.plan(result.plan),
        "latency": times.latency(result),
        "throughput": times.throughput(result.throughput),
        "serving": times.serving(result),
        "text_speed": text_speed.text_speed(result),
        "comparison": times.comparison(result, recipes),
        "cold": times.cold(result.cold),
        "energy": onboard.energy(result.energy),
        "peak_rss_bytes": result.peak_rss_bytes or None,
        "memory": onboard.memory(result),
        "operators": times.operators(result),
        "sustained": times.sustained(result),
        "harness_overhead_ns": result.harness_overhead_ns or None,
        "conditions": onboard.conditions(result.conditions),
        "raw": {
            "samples_digest": result.samples_digest or None,
            "outputs_digest": result.outputs_digest or None,
            "trace_digest": result.trace_digest or None,
        },
        "verdict": {
            "state": VERDICTS.get(result.verdict.state, "void"),
            "reasons": [{"code": reason.code, "detail": reason.detail} for reason in result.verdict.reasons],
        },
    }
