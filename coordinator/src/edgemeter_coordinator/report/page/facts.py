"""What is known of one variant on one device, as the report's decisions and tables want it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from edgemeter_coordinator.report.intervals import Interval, meet
from edgemeter_coordinator.report.page.energy import Energy
from edgemeter_coordinator.report.page.metrics import Metric, metrics_of
from edgemeter_protos.report import onboard
from edgemeter_protos.report.measured import VERDICTS
from edgemeter_protos.report.times import OUTCOMES
from edgemeter_protos.v1 import lab_pb2, result_pb2

NOT_MEASURED = "not_measured"
"""In place of a verdict."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Text:
    """How fast a model writes."""

    prompt_tokens: int
    new_tokens: int
    ttft_p50_ns: float
    ttft_p90_ns: float | None
    ttft_p50_ci95: Interval | None
    tokens_per_s: float
    tokens_per_s_ci95: Interval | None
    prefill_tokens_per_s: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """One variant on one device; None where it was not measured."""

    recipe: str
    is_baseline: bool
    size_bytes: int
    verdict: str
    # (code, detail)
    reasons: tuple[tuple[str, str], ...] = ()
    metrics: tuple[Metric, ...] = ()
    p50_ns: float | None = None
    p50_ci95: Interval | None = None
    p90_ns: float | None = None
    p90_ci95: Interval | None = None
    # Latency over the baseline's, from paired blocks where the agent compared, else from the two medians.
    ratio: float | None = None
    ratio_ci95: Interval | None = None
    # "faster", "slower", "cannot_tell"; None for the baseline itself and where there is nothing to compare.
    outcome: str | None = None
    rate: float | None = None
    text: Text | None = None
    energy: Energy = field(default_factory=lambda: Energy(status="not_measured", why=""))
    peak_rss_bytes: int | None = None
    model_bytes: int | None = None

    @property
    def void(self) -> bool:
        return self.verdict == "void"

    @property
    def codes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(code for code, _ in self.reasons))


def facts_of(responses: Iterable[lab_pb2.ListResultsResponse]) -> list[Facts]:
    """Those of one device, in the study's order of variants: the baseline first, where it was measured."""
    ordered = sorted((each for each in responses if not each.late), key=position)
    baseline = next((each for each in ordered if position(each) == 0), None)
    return [_facts(each, baseline) for each in ordered]


def built_only(study: lab_pb2.Study, responses: Iterable[lab_pb2.ListResultsResponse]) -> list[Facts]:
    """Variants that were built and that no board has measured: for comparison on the coordinator, or while a
    study goes on."""
    measured = {each.manifest.variant_id for each in responses if not each.late}
    return [
        Facts(
            recipe=each.recipe,
            is_baseline=False,
            size_bytes=each.manifest.size_bytes,
            verdict=NOT_MEASURED,
            metrics=metrics_of(lab_pb2.ListResultsResponse(manifest=each.manifest)),
        )
        for each in study.variants
        if each.state == lab_pb2.VARIANT_STATE_READY and each.variant_id not in measured
    ]


def position(response: lab_pb2.ListResultsResponse) -> int:
    """Of its variant in the study; 0 is the baseline."""
    ids = [variant.variant_id for variant in response.study.variants]
    wanted = response.manifest.variant_id
    return ids.index(wanted) if wanted in ids else len(ids)


def _facts(response: lab_pb2.ListResultsResponse, baseline: lab_pb2.ListResultsResponse | None) -> Facts:
    result, latency = response.result, response.result.latency
    timed = latency.samples > 0
    is_baseline = baseline is response
    against = None if baseline is None or is_baseline else baseline.result
    ratio, ratio_ci95, outcome = compared(result, against) if timed else (None, None, None)
    p90 = next((each for each in latency.percentiles if each.percent == 90), None)
    return Facts(
        recipe=response.manifest.recipe,
        is_baseline=is_baseline,
        size_bytes=response.manifest.size_bytes,
        verdict=VERDICTS.get(result.verdict.state, "void"),
        reasons=tuple((reason.code, reason.detail) for reason in result.verdict.reasons),
        metrics=metrics_of(response),
        p50_ns=latency.p50_ns if timed else None,
        p50_ci95=_p50_interval(latency),
        p90_ns=latency.p90_ns if timed else None,
        p90_ci95=_bounds(p90),
        ratio=ratio,
        ratio_ci95=ratio_ci95,
        outcome=outcome,
        rate=_rate(result),
        text=_text(result),
        energy=_energy(response),
        peak_rss_bytes=result.peak_rss_bytes or None,
        model_bytes=result.memory.model_bytes or None,
    )


def compared(
    result: result_pb2.Result, baseline: result_pb2.Result | None
) -> tuple[float | None, Interval | None, str | None]:
    """Latency over the baseline's, its interval, and what follows.

    Where the agent did not compare, the outcome is from the two medians' intervals, and "cannot_tell" where
    they meet or are not there: without pairs nothing finer can be said.
    """
    if baseline is None:
        return None, None, None
    one = result.comparison
    if one.outcome != result_pb2.OUTCOME_UNSPECIFIED and one.ratio > 0:
        interval = (one.ci95_low, one.ci95_high) if one.ci95_high > 0 else None
        return one.ratio, interval, OUTCOMES.get(one.outcome, "cannot_tell")
    if not (result.latency.p50_ns and baseline.latency.p50_ns):
        return None, None, None
    ratio = result.latency.p50_ns / baseline.latency.p50_ns
    if meet(_p50_interval(result.latency), _p50_interval(baseline.latency)):
        return ratio, None, "cannot_tell"
    return ratio, None, "faster" if ratio < 1 else "slower"


def _p50_interval(latency: result_pb2.Latency) -> Interval | None:
    if latency.samples == 0 or latency.ci95_high_ns <= 0:
        return None
    return latency.ci95_low_ns, latency.ci95_high_ns


def _bounds(one: result_pb2.Percentile | None) -> Interval | None:
    if one is None or not (one.HasField("ci95_low_ns") and one.HasField("ci95_high_ns")):
        return None
    return one.ci95_low_ns, one.ci95_high_ns


def _rate(result: result_pb2.Result) -> float | None:
    if result.HasField("serving"):
        return result.serving.highest_qps or result.serving.achieved_qps or None
    return result.throughput.samples_per_s or None


def _text(result: result_pb2.Result) -> Text | None:
    one = result.text_speed
    if not result.HasField("text_speed") or one.generations == 0:
        return None
    return Text(
        prompt_tokens=one.prompt_tokens,
        new_tokens=one.new_tokens,
        ttft_p50_ns=one.ttft_p50.value_ns,
        ttft_p90_ns=one.ttft_p90.value_ns or None,
        ttft_p50_ci95=_bounds(one.ttft_p50),
        tokens_per_s=one.decode_tokens_per_s,
        tokens_per_s_ci95=(one.decode_ci95_low, one.decode_ci95_high) if one.decode_ci95_high > 0 else None,
        prefill_tokens_per_s=one.prefill_tokens_per_s or None,
    )


_NO_ENERGY = {
    "no_meter": "no meter on this board",
    "not_asked": "the plan asks for none",
    "not_measured": "the agent said nothing of it",
    "void": "the meter's readings are not to be believed",
}


def _energy(response: lab_pb2.ListResultsResponse) -> Energy:
    one = onboard.energy(response.result.energy)
    noun = response.result.energy.sample_noun or response.manifest.sample_noun or "inference"
    if one["status"] != "measured":
        return Energy(status=one["status"], why=one["detail"] or _NO_ENERGY[one["status"]], noun=noun)
    return Energy(
        status="measured",
        why="",
        net_uj=one["net_uj_per_inference"],
        net_half_uj=one["net_uncertainty_uj"],
        gross_uj=one["gross_uj_per_inference"],
        gross_half_uj=one["gross_uncertainty_uj"],
        noun=noun,
    )


def devices_of(
    responses: Sequence[lab_pb2.ListResultsResponse],
) -> list[tuple[lab_pb2.Device, list[lab_pb2.ListResultsResponse]]]:
    """Results by device, late ones left out; devices by name, results in the study's order of variants."""
    by_id: dict[str, list[lab_pb2.ListResultsResponse]] = {}
    for response in responses:
        if not response.late:
            by_id.setdefault(response.device.id, []).append(response)
    groups = sorted(by_id.values(), key=lambda group: (group[0].device.name, group[0].device.id))
    return [(group[0].device, sorted(group, key=position)) for group in groups]
