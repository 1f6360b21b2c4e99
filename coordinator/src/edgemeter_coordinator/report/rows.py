"""A study's results as rows of a table: what is compared with what, and what is absent. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgemeter_coordinator.report.numbers import value_of
from edgemeter_protos.report import onboard, text_speed
from edgemeter_protos.report.measured import VERDICTS
from edgemeter_protos.report.times import OUTCOMES, SCENARIOS
from edgemeter_protos.v1 import lab_pb2, result_pb2


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One variant on one device; None where it was not measured."""

    device: str
    recipe: str
    scenario: str
    size_bytes: int
    # This size over the baseline's: below 1 is smaller.
    size_ratio: float | None
    # With zstd.
    compressed_bytes: int | None
    # Against the original, on the coordinator, and which metric that is; empty where there is none.
    agreement: float | None
    agreement_metric: str
    metric: str
    quality_coordinator: float | None
    quality_device: float | None
    p50_ns: float | None
    # Half of the 95 % interval's width.
    p50_half_ns: float | None
    p90_ns: float | None
    p99_ns: float | None
    # Latency over the baseline's on the same device, from paired blocks; from the two medians where the agent
    # did not compare, and then without an interval. Below 1 is faster.
    ratio: float | None
    ratio_ci95: tuple[float, float] | None
    cannot_tell: bool
    # Samples, or a server's queries, a second.
    rate: float | None
    # Of a model that writes text: the medians.
    first_token_ns: float | None
    tokens_per_s: float | None
    # Half of the 95 % interval's width.
    tokens_per_s_half: float | None
    load_ns: int | None
    first_inference_ns: int | None
    energy_status: str
    energy_detail: str
    # What an inference is here: "token", "frame", …
    sample_noun: str
    # Beyond the idle board, an inference.
    net_uj: float | None
    net_half_uj: float | None
    peak_rss_bytes: int | None
    # What of the peak is the model's.
    model_bytes: int | None
    verdict: str
    verdict_codes: tuple[str, ...]


def rows(responses: Iterable[lab_pb2.ListResultsResponse]) -> list[Row]:
    """By device, and within a device in the study's order of variants: the baseline first."""
    every = list(responses)
    baselines = {
        response.device.id: response for response in every if _position(response) == 0 and not response.late
    }
    ordered = sorted(every, key=lambda response: (response.device.name, _position(response)))
    return [_row(response, baselines.get(response.device.id)) for response in ordered]


def _row(response: lab_pb2.ListResultsResponse, baseline: lab_pb2.ListResultsResponse | None) -> Row:
    manifest, result = response.manifest, response.result
    latency, energy, text = result.latency, onboard.energy(result.energy), text_speed.text_speed(result)
    timed = latency.samples > 0
    bounded = timed and latency.ci95_high_ns > 0
    scored = response.HasField("device_quality") and response.device_quality.samples > 0
    ratio, ratio_ci95 = _ratio(result, baseline)
    return Row(
        device=response.device.name,
        recipe=manifest.recipe,
        scenario=SCENARIOS.get(latency.scenario or result.plan.scenario, ""),
        size_bytes=manifest.size_bytes,
        size_ratio=_over(manifest.size_bytes, baseline.manifest.size_bytes if baseline else None),
        compressed_bytes=manifest.compressed_size_bytes or None,
        agreement=value_of(manifest.agreement) if manifest.HasField("agreement") else None,
        agreement_metric=manifest.agreement.metric,
        metric=response.device_quality.metric or manifest.quality.metric,
        quality_coordinator=value_of(manifest.quality) if manifest.HasField("quality") else None,
        quality_device=response.device_quality.value if scored else None,
        p50_ns=latency.p50_ns if timed else None,
        p50_half_ns=(latency.ci95_high_ns - latency.ci95_low_ns) / 2 if bounded else None,
        p90_ns=latency.p90_ns if timed else None,
        p99_ns=latency.p99_ns if timed else None,
        ratio=ratio,
        ratio_ci95=ratio_ci95,
        cannot_tell=OUTCOMES.get(result.comparison.outcome) == "cannot_tell",
        rate=_rate(result),
        first_token_ns=text["ttft_p50_ns"],
        tokens_per_s=text["decode_tokens_per_s"],
        tokens_per_s_half=(text["decode_ci95"][1] - text["decode_ci95"][0]) / 2
        if text["decode_ci95"]
        else None,
        load_ns=result.cold.load_ns or None,
        first_inference_ns=result.cold.first_inference_ns or None,
        energy_status=energy["status"],
        energy_detail=energy["detail"],
        sample_noun=energy["sample_noun"] or "inference",
        net_uj=energy["net_uj_per_inference"],
        net_half_uj=energy["net_uncertainty_uj"],
        peak_rss_bytes=result.peak_rss_bytes or None,
        model_bytes=result.memory.model_bytes or None,
        verdict=VERDICTS.get(result.verdict.state, "void"),
        verdict_codes=tuple(dict.fromkeys(reason.code for reason in result.verdict.reasons)),
    )


def _ratio(
    result: result_pb2.Result, baseline: lab_pb2.ListResultsResponse | None
) -> tuple[float | None, tuple[float, float] | None]:
    compared = result.comparison
    if compared.outcome != result_pb2.OUTCOME_UNSPECIFIED and compared.ratio > 0:
        return compared.ratio, (compared.ci95_low, compared.ci95_high) if compared.ci95_high > 0 else None
    return _over(result.latency.p50_ns, baseline.result.latency.p50_ns if baseline else None), None


def _rate(result: result_pb2.Result) -> float | None:
    if result.HasField("serving"):
        return result.serving.highest_qps or result.serving.achieved_qps or None
    return result.throughput.samples_per_s or None


def _position(response: lab_pb2.ListResultsResponse) -> int:
    ids = [variant.variant_id for variant in response.study.variants]
    wanted = response.manifest.variant_id
    return ids.index(wanted) if wanted in ids else len(ids)


def _over(value: float, base: float | None) -> float | None:
    return value / base if value and base else None
