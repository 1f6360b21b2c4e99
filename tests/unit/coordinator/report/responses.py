"""Results as the contract carries them: one with everything, and one of which nothing was measured."""

from __future__ import annotations

from edgemeter_protos import plans
from edgemeter_protos.v1 import device_pb2, lab_pb2, plan_pb2, result_pb2, variant_pb2


def manifest(recipe: str = "float32@tflite", size_bytes: int = 1000) -> variant_pb2.Manifest:
    return variant_pb2.Manifest(
        variant_id=f"id-{recipe}",
        recipe=recipe,
        format="tflite",
        size_bytes=size_bytes,
        compressed_size_bytes=size_bytes - 100,
        parameters=500,
        non_zero_parameters=250,
        macs=80_000,
        agreement=variant_pb2.Quality(metric="agreement", value=0.99, samples=1000),
        output_error=variant_pb2.OutputError(max_absolute=0.25, sqnr_db=21.5, samples=1000),
        quality=variant_pb2.Quality(metric="top1", value=0.97, samples=1000),
    )


def full(
    recipe: str = "float32@tflite", *, device: str = "pi-a", p50_ns: float = 1000.0, size_bytes: int = 1000
) -> lab_pb2.ListResultsResponse:
    recipes = ("float32@tflite", "int8@tflite")
    snapshot = result_pb2.Snapshot(monotonic_ns=7, frequency_hz=1_500_000_000, involuntary_switches=0)
    return lab_pb2.ListResultsResponse(
        study=lab_pb2.Study(
            name="digits-1",
            model_name="digits",
            variants=[lab_pb2.StudyVariant(variant_id=f"id-{each}", recipe=each) for each in recipes],
        ),
        device=lab_pb2.Device(
            id=f"{device}-id", name=device, facts=device_pb2.DeviceFacts(board="Pi 5", arch="aarch64")
        ),
        manifest=manifest(recipe, size_bytes),
        result=result_pb2.Result(
            runtime=device_pb2.RuntimeFacts(name="litert", version="2.3.0"),
            plan=plans.resolve("quick"),
            latency=result_pb2.Latency(
                scenario=plan_pb2.SCENARIO_SINGLE_STREAM,
                samples=256,
                p50_ns=p50_ns,
                p90_ns=p50_ns * 1.1,
                p99_ns=p50_ns * 1.2,
                mean_ns=p50_ns * 1.01,
                min_ns=p50_ns * 0.9,
                ci95_low_ns=p50_ns * 0.99,
                ci95_high_ns=p50_ns * 1.02,
            ),
            cold=result_pb2.Cold(load_ns=5_000_000, first_inference_ns=2_000_000),
            energy=result_pb2.Energy(status=result_pb2.ENERGY_STATUS_NO_METER, detail="no meter here"),
            peak_rss_bytes=50_000_000,
            harness_overhead_ns=120.0,
            conditions=result_pb2.Conditions(
                before=snapshot,
                after=snapshot,
                blocks_kept=4,
                blocks_voided=1,
                void_reasons={"contention": 1},
                contention_share=0.0,
                unreadable=[device_pb2.Observable(name="temperature", detail="no sensor")],
            ),
            verdict=result_pb2.Verdict(
                state=result_pb2.VERDICT_STATE_DEGRADED,
                reasons=[result_pb2.VerdictReason(code="contention", detail="others ran")],
            ),
        ),
        device_quality=variant_pb2.Quality(
            metric="top1", value=0.96, samples=100, ci95_low=0.9, ci95_high=0.98
        ),
        baseline_quality=variant_pb2.Quality(metric="top1", value=0.97, samples=1000),
    )


def nothing_measured(recipe: str = "int8@tflite") -> lab_pb2.ListResultsResponse:
    """The golden pair did not match: the verdict is all there is."""
    response = full(recipe)
    verdict = result_pb2.Verdict(
        state=result_pb2.VERDICT_STATE_VOID,
        reasons=[result_pb2.VerdictReason(code="golden_mismatch", detail="1.0 instead of 2.0")],
    )
    response.result.CopyFrom(result_pb2.Result(verdict=verdict))
    response.ClearField("device_quality")
    return response
