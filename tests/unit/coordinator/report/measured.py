"""A result of which everything was measured, and one whose meter could not be believed."""

from __future__ import annotations

from edgemeter_protos import plans
from edgemeter_protos.v1 import device_pb2, lab_pb2, plan_pb2, result_pb2
from tests.unit.coordinator.report.responses import full

METER = device_pb2.MeterFacts(
    name="ina3221",
    coverage="module",
    kind="ina3221",
    rails=["VDD_IN", "VDD_SOC"],
    rate_hz=100,
    resolution_mw=40,
    gain_error=0.003,
    offset_error_mw=20,
    lag_ns=430_000_000,
    detail="hwmon1",
    calibrated_gain=1.003,
    calibrated_offset_mw=2.5,
)


def energy() -> result_pb2.Energy:
    return result_pb2.Energy(
        status=result_pb2.ENERGY_STATUS_MEASURED,
        meter=METER,
        method="trapezoid",
        lag_rule="interior",
        gross_uj_per_inference=5000,
        net_uj_per_inference=2000,
        gross_uncertainty_uj=100,
        net_uncertainty_uj=80,
        mean_power_mw=5200,
        peak_power_mw=6100,
        idle_before_mw=3100,
        idle_after_mw=3150,
        energy_delay_uj_s=4.8,
        windows_kept=4,
        windows_voided=1,
        void_reasons={"meter_gap": 1},
        inferences=52_000,
        windows_duration_ns=50_000_000_000,
        achieved_rate_hz=98.7,
        rails=[
            result_pb2.RailPower(name="VDD_IN", mean_mw=5200, in_total=True),
            result_pb2.RailPower(name="VDD_SOC", mean_mw=900),
        ],
        uncertainty_parts_uj={"gain": 15.0, "repeats": 33.0, "resolution": 0.5, "alignment": 0.0},
        sampler_cpu_share=0.012,
    )


def sustained() -> result_pb2.Sustained:
    """Slows down after the third of five intervals; the fourth has neither temperature nor power."""
    points = [
        result_pb2.SustainedPoint(
            at_ns=at * 10**9,
            p50_ns=p50,
            p99_ns=p50 * 1.2,
            queries=900,
            frequency_hz=frequency,
            throttled=frequency < 1_500_000_000,
        )
        for at, p50, frequency in (
            (1, 1000, 1_800_000_000),
            (2, 1000, 1_800_000_000),
            (3, 1010, 1_800_000_000),
            (4, 1500, 1_200_000_000),
            (5, 1500, 1_200_000_000),
        )
    ]
    for index, celsius in enumerate((52, 60, 75, None, 80)):
        if celsius is not None:
            points[index].temperature_millicelsius = celsius * 1000
            points[index].power_mw = 5000 + index
    return result_pb2.Sustained(
        duration_ns=600 * 10**9,
        points=points,
        slowed_after_ns=4 * 10**9,
        slowed_because="throttled",
        first_p50_ns=1000,
        last_p50_ns=1500,
    )


def measured(recipe: str = "int8@tflite", **fields: object) -> lab_pb2.ListResultsResponse:
    """Everything that a board can say of a variant that was compared with float32."""
    response = full(recipe, p50_ns=500.0, size_bytes=250)
    result = response.result
    result.plan.CopyFrom(
        plans.resolve(
            "standard", scenario="server", latency_bound="10ms", sustain="10m", affinity_cpus=[2, 3]
        )
    )
    result.runtime.ran_on = "CPU (XNNPACK)"
    result.latency.scenario = plan_pb2.SCENARIO_SERVER
    result.latency.max_ns = 900
    result.latency.percentiles.extend(
        [
            result_pb2.Percentile(
                percent=50, value_ns=500, ci95_low_ns=495, ci95_high_ns=510, early_stopping_ns=520
            ),
            result_pb2.Percentile(percent=99.9, value_ns=880, ci95_low_ns=700),
        ]
    )
    result.throughput.CopyFrom(result_pb2.Throughput(samples_per_s=1960, ci95_low=1950, ci95_high=1970))
    result.serving.CopyFrom(
        result_pb2.Serving(
            target_qps=1200,
            achieved_qps=1199,
            queueing_p50_ns=0,
            queueing_p99_ns=4000,
            most_in_flight=7,
            bound_held=True,
            highest_qps=1200,
            probes=[result_pb2.RateProbe(target_qps=2400, achieved_qps=1900, latency_ns=9e7, held=False)],
        )
    )
    result.cold.processes, result.cold.load_max_ns = 5, 9_000_000
    result.cold.first_inference_max_ns = 3_000_000
    result.energy.CopyFrom(energy())
    result.memory.CopyFrom(
        result_pb2.Memory(
            peak_rss_bytes=50_000_000,
            empty_peak_rss_bytes=46_000_000,
            model_bytes=4_000_000,
            arena_bytes=65_536,
            arena_detail="the interpreter's arena",
        )
    )
    result.operators.CopyFrom(
        result_pb2.OperatorProfile(
            source="ONNX Runtime's profiler",
            queries=20,
            query_ns=700,
            operators=[
                result_pb2.Operator(
                    name=f"node{index}",
                    kind="Conv",
                    calls_per_query=1,
                    ns_per_query=100 - index,
                    share=0.07,
                    ran_on="CPU" if index == 0 else "",
                )
                for index in range(12)
            ],
        )
    )
    result.comparison.CopyFrom(
        result_pb2.Comparison(
            baseline_variant_id="id-float32@tflite",
            ratio=0.5,
            ci95_low=0.47,
            ci95_high=0.53,
            p_value=0.0004,
            outcome=result_pb2.OUTCOME_FASTER,
            pairs=12,
        )
    )
    result.sustained.CopyFrom(sustained())
    result.conditions.changes.append("power mode 25W, then 15W")
    result.conditions.cpus.extend([2, 3])
    result.conditions.before.zones_millicelsius["cpu-thermal"] = 52_350
    result.conditions.before.clocks_hz["policy0"] = 1_800_000_000
    result.conditions.before.boost = False
    result.conditions.before.power_mode = "25W"
    result.samples_digest, result.trace_digest = "a" * 64, "c" * 64
    for name, value in fields.items():
        getattr(result, name).CopyFrom(value)
    return response


def void_energy() -> lab_pb2.ListResultsResponse:
    """A meter that froze: nothing that could be kept, and what it said is evidence only."""
    return measured(
        energy=result_pb2.Energy(
            status=result_pb2.ENERGY_STATUS_VOID,
            detail="0 of 5 windows could be kept: meter_stuck voided 5",
            meter=METER,
            gross_uj_per_inference=4000,
            windows_voided=5,
            void_reasons={"meter_stuck": 5},
        )
    )


def text_speed() -> result_pb2.TextSpeed:
    """Of twelve generations, too few to say where a p90 ends."""
    return result_pb2.TextSpeed(
        prompt_tokens=64,
        new_tokens=48,
        generations=12,
        ttft_p50=result_pb2.Percentile(percent=50, value_ns=3e8, ci95_low_ns=2.9e8, ci95_high_ns=3.1e8),
        ttft_p90=result_pb2.Percentile(percent=90, value_ns=3.5e8, ci95_low_ns=3.2e8),
        decode_tokens_per_s=46.0,
        decode_ci95_low=45.0,
        decode_ci95_high=47.0,
        prefill_tokens_per_s=64 / 0.3,
    )


def writes_text() -> lab_pb2.ListResultsResponse:
    """A language model's: energy is of tokens."""
    response = measured()
    response.result.text_speed.CopyFrom(text_speed())
    response.result.energy.sample_noun = "token"
    return response
