"""Studies that are made up, for the report: one of pictures with a meter, and one of a language model."""

from __future__ import annotations

from collections.abc import Sequence

from edgemeter_coordinator.report.page.page import Material
from edgemeter_coordinator.report.page.traces import Trace
from edgemeter_protos import plans
from edgemeter_protos.v1 import device_pb2, lab_pb2, plan_pb2, result_pb2, variant_pb2

SAMPLES = 1000
VERDICTS = {
    "valid": result_pb2.VERDICT_STATE_VALID,
    "degraded": result_pb2.VERDICT_STATE_DEGRADED,
    "void": result_pb2.VERDICT_STATE_VOID,
}
OUTCOMES = {
    "faster": result_pb2.OUTCOME_FASTER,
    "slower": result_pb2.OUTCOME_SLOWER,
    "cannot_tell": result_pb2.OUTCOME_CANNOT_TELL,
}


def share(name: str, value: float, against: str, *, half: float = 0.01) -> variant_pb2.Quality:
    return variant_pb2.Quality(
        metric=name,
        value=value,
        samples=SAMPLES,
        ci95_low=max(0.0, value - half),
        ci95_high=min(1.0, value + half),
        against=against,
    )


def result(
    recipe: str,
    *,
    study: str = "pictures",
    device: str = "pi-a",
    size_bytes: int = 400_000,
    p50_ns: float = 1e6,
    ratio: tuple[float, float, float] | None = None,
    outcome: str = "",
    metrics: Sequence[variant_pb2.Quality] = (),
    net_uj: tuple[float, float] | None = None,
    verdict: str = "valid",
    codes: Sequence[str] = (),
) -> lab_pb2.ListResultsResponse:
    """One variant on one device; `ratio` is (ratio, low, high), `net_uj` (energy, half of its interval)."""
    one = result_pb2.Result(
        runtime=device_pb2.RuntimeFacts(name="litert", version="2.3.0", ran_on="CPU (XNNPACK)"),
        plan=plans.resolve("standard"),
        latency=result_pb2.Latency(
            scenario=plan_pb2.SCENARIO_SINGLE_STREAM,
            samples=1200,
            p50_ns=p50_ns,
            p90_ns=p50_ns * 1.1,
            ci95_low_ns=p50_ns * 0.98,
            ci95_high_ns=p50_ns * 1.03,
            percentiles=[
                result_pb2.Percentile(
                    percent=90, value_ns=p50_ns * 1.1, ci95_low_ns=p50_ns * 1.05, ci95_high_ns=p50_ns * 1.2
                )
            ],
        ),
        peak_rss_bytes=50_000_000,
        memory=result_pb2.Memory(peak_rss_bytes=50_000_000, model_bytes=4_000_000),
        harness_overhead_ns=120.0,
        conditions=result_pb2.Conditions(
            blocks_kept=12,
            governor="performance",
            frequency_min_hz=2_400_000_000,
            frequency_max_hz=2_400_000_000,
            temperature_max_millicelsius=61_500,
            contention_share=0.01,
            unreadable=[device_pb2.Observable(name="supply", detail="no sensor")],
        ),
        verdict=result_pb2.Verdict(
            state=VERDICTS[verdict],
            reasons=[result_pb2.VerdictReason(code=code, detail=f"{code} was seen") for code in codes],
        ),
        energy=result_pb2.Energy(status=result_pb2.ENERGY_STATUS_NO_METER, detail="no meter on this board"),
    )
    if ratio is not None:
        one.comparison.CopyFrom(
            result_pb2.Comparison(
                baseline_variant_id=f"{study}-baseline",
                ratio=ratio[0],
                ci95_low=ratio[1],
                ci95_high=ratio[2],
                outcome=OUTCOMES[outcome],
                pairs=12,
            )
        )
    if net_uj is not None:
        one.energy.CopyFrom(
            result_pb2.Energy(
                status=result_pb2.ENERGY_STATUS_MEASURED,
                net_uj_per_inference=net_uj[0],
                net_uncertainty_uj=net_uj[1],
                gross_uj_per_inference=net_uj[0] * 2,
                gross_uncertainty_uj=net_uj[1] * 2,
                idle_before_mw=3000,
                idle_after_mw=3010,
                windows_kept=5,
                sample_noun="frame",
            )
        )
    return lab_pb2.ListResultsResponse(
        device=lab_pb2.Device(
            id=f"{device}-id",
            name=device,
            facts=device_pb2.DeviceFacts(
                board="Raspberry Pi 5 Model B",
                arch="aarch64",
                cpu_count=4,
                runtimes=[device_pb2.RuntimeFacts(name="litert", version="2.3.0")],
            ),
        ),
        manifest=variant_pb2.Manifest(
            variant_id=f"{study}-{recipe}",
            recipe=recipe,
            format=recipe.rpartition("@")[2],
            task="classification",
            size_bytes=size_bytes,
            artifact_digest=(recipe.encode().hex() * 64)[:64],
            seed=7,
            tool_versions={"keras": "3.15.0"},
            sample_noun="frame",
        ),
        result=one,
        device_metrics=metrics,
    )


def material(
    responses: Sequence[lab_pb2.ListResultsResponse],
    *,
    name: str = "study/pictures",
    model: str = "net",
    failed: Sequence[tuple[str, str]] = (),
    traces: dict[str, Trace] | None = None,
) -> Material:
    """A study of these results; `failed` are (recipe, why) of variants that were not built."""
    manifests = {each.manifest.variant_id: each.manifest for each in responses}
    study = lab_pb2.Study(
        id="0123456789abcdef",
        name=name,
        model_name=model,
        model_digest="a" * 64,
        dataset_name="data",
        dataset_digest="b" * 64,
        plan=plans.resolve("standard", sustain="60s"),
        state=lab_pb2.STUDY_STATE_COMPLETED,
        variants=[
            lab_pb2.StudyVariant(
                variant_id=variant_id,
                recipe=manifest.recipe,
                state=lab_pb2.VARIANT_STATE_READY,
                manifest=manifest,
            )
            for variant_id, manifest in manifests.items()
        ],
        jobs=[
            lab_pb2.Job(device_name=name, state=lab_pb2.JOB_STATE_COMPLETED)
            for name in dict.fromkeys(each.device.name for each in responses)
        ],
    )
    for recipe, why in failed:
        study.variants.add(
            variant_id=f"failed-{recipe}", recipe=recipe, state=lab_pb2.VARIANT_STATE_FAILED, error=why
        )
    for each in responses:
        each.study.CopyFrom(study)
    return Material(study=study, responses=responses, traces=traces or {})


def top1(value: float, agreement: float) -> list[variant_pb2.Quality]:
    return [share("top1", value, "labels"), share("agreement", agreement, "original", half=0.005)]


def pictures(device: str = "pi-a") -> list[lab_pb2.ListResultsResponse]:
    """Baseline, faster, smaller, too lossy, undecided, void: one of each."""
    rows = [
        result("float32@tflite", device=device, p50_ns=10e6, metrics=top1(0.912, 1.0), net_uj=(9000, 300)),
        result(
            "float16@tflite",
            device=device,
            size_bytes=203_000,
            p50_ns=10.1e6,
            ratio=(1.01, 0.97, 1.05),
            outcome="cannot_tell",
            metrics=top1(0.912, 0.999),
            net_uj=(9050, 280),
        ),
        result(
            "int8@tflite",
            device=device,
            size_bytes=108_000,
            p50_ns=4.2e6,
            ratio=(0.42, 0.41, 0.43),
            outcome="faster",
            metrics=top1(0.909, 0.985),
            net_uj=(4100, 150),
        ),
        result(
            "prune-channels(0.3)+int8@tflite",
            device=device,
            size_bytes=61_000,
            p50_ns=2.6e6,
            ratio=(0.26, 0.25, 0.27),
            outcome="faster",
            metrics=top1(0.861, 0.9),
            net_uj=(2500, 120),
            verdict="degraded",
            codes=["temperature"],
        ),
        result(
            "int16x8@tflite",
            device=device,
            size_bytes=112_000,
            p50_ns=31e6,
            ratio=(3.1, 3.0, 3.2),
            outcome="slower",
            metrics=top1(0.912, 0.998),
            net_uj=(28_000, 900),
        ),
        result(
            "low-rank(0.5)+float32@tflite",
            device=device,
            size_bytes=231_000,
            p50_ns=7.7e6,
            ratio=(0.77, 0.7, 0.85),
            outcome="faster",
            metrics=top1(0.899, 0.95),
            verdict="void",
            codes=["contention"],
        ),
    ]
    for each in rows:
        _inside(each)
    return rows


def _inside(response: lab_pb2.ListResultsResponse) -> None:
    """Operators, a sustained load and the digest of a power trace."""
    p50_ns = response.result.latency.p50_ns
    response.result.operators.CopyFrom(
        result_pb2.OperatorProfile(
            source="XNNPACK's profiler",
            queries=20,
            query_ns=p50_ns * 1.1,
            operators=[
                result_pb2.Operator(name="conv1", kind="CONV_2D", ns_per_query=p50_ns * 0.5, share=0.5),
                result_pb2.Operator(name="conv2", kind="CONV_2D", ns_per_query=p50_ns * 0.3, share=0.3),
                result_pb2.Operator(name="fc", kind="FULLY_CONNECTED", ns_per_query=p50_ns * 0.2, share=0.2),
            ],
        )
    )
    response.result.sustained.CopyFrom(
        result_pb2.Sustained(
            duration_ns=60 * 10**9,
            first_p50_ns=p50_ns,
            last_p50_ns=p50_ns * 1.3,
            slowed_after_ns=40 * 10**9,
            slowed_because="frequency_fell",
            points=[
                result_pb2.SustainedPoint(
                    at_ns=at * 10**9,
                    p50_ns=p50_ns * (1.3 if at > 40 else 1.0),
                    queries=50,
                    frequency_hz=1_500_000_000 if at > 40 else 2_400_000_000,
                    temperature_millicelsius=55_000 + at * 500,
                )
                for at in range(2, 61, 2)
            ],
        )
    )
    response.result.trace_digest = (response.manifest.recipe.encode().hex() * 64)[-64:]


def power_trace() -> Trace:
    """Idle, three windows of which one was voided, idle."""
    seconds = [each / 10 for each in range(600)]
    windows = [(10.0, 22.0, True), (23.0, 35.0, False), (36.0, 48.0, True)]
    watts = [
        6.1 if any(low <= at <= high for low, high, _ in windows) else 3.0 + 0.05 * (index % 3)
        for index, at in enumerate(seconds)
    ]
    return Trace(seconds=seconds, watts=watts, windows=windows, idle=[(0.0, 9.0), (50.0, 59.9)])


def perplexity(value: float, ratio: tuple[float, float, float]) -> list[variant_pb2.Quality]:
    return [
        variant_pb2.Quality(
            metric="perplexity",
            value=value,
            samples=25_500,
            ci95_low=value * 0.9,
            ci95_high=value * 1.1,
            against="labels",
            lower_is_better=True,
        ),
        variant_pb2.Quality(
            metric="perplexity_ratio",
            value=ratio[0],
            samples=25_500,
            ci95_low=ratio[1],
            ci95_high=ratio[2],
            against="original",
            lower_is_better=True,
        ),
    ]


def language() -> list[lab_pb2.ListResultsResponse]:
    """A model that writes: f16 is the baseline."""
    rows = [
        result(
            "f16@gguf",
            study="text",
            size_bytes=271_000_000,
            p50_ns=2.4e9,
            metrics=perplexity(31.2, (1.0, 1.0, 1.0)),
        ),
        result(
            "q8_0@gguf",
            study="text",
            size_bytes=145_000_000,
            p50_ns=1.5e9,
            ratio=(0.62, 0.6, 0.65),
            outcome="faster",
            metrics=perplexity(31.3, (1.0032, 1.0021, 1.0043)),
        ),
        result(
            "q4_k_m@gguf",
            study="text",
            size_bytes=105_000_000,
            p50_ns=1.2e9,
            ratio=(0.5, 0.48, 0.52),
            outcome="faster",
            metrics=perplexity(33.9, (1.0865, 1.08, 1.093)),
        ),
    ]
    for each, tokens_per_s in zip(rows, (21.0, 34.5, 44.0), strict=True):
        each.manifest.task = "language-model"
        each.manifest.sample_noun = "token"
        each.result.text_speed.CopyFrom(
            result_pb2.TextSpeed(
                prompt_tokens=64,
                new_tokens=48,
                generations=36,
                ttft_p50=result_pb2.Percentile(
                    percent=50, value_ns=1.8e8, ci95_low_ns=1.7e8, ci95_high_ns=1.9e8
                ),
                ttft_p90=result_pb2.Percentile(percent=90, value_ns=2.1e8),
                decode_tokens_per_s=tokens_per_s,
                decode_ci95_low=tokens_per_s - 1,
                decode_ci95_high=tokens_per_s + 1,
                prefill_tokens_per_s=355,
            )
        )
    rows[0].manifest.attachments.add(name="adapter", digest="c" * 64, size_bytes=1_800_000, about="LoRA, r 8")
    return rows


def everything() -> list[Material]:
    """Two boards, a study with a meter, one of a language model."""
    on_a, on_b = pictures(), pictures("pi-b")
    for each in on_b:
        each.result.ClearField("energy")
    traces = {each.result.trace_digest: power_trace() for each in on_a}
    return [
        material([*on_a, *on_b], failed=[("int4@tflite", "the converter knows no 4 bits")], traces=traces),
        material(language(), name="study/text", model="writer"),
    ]
