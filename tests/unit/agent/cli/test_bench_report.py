from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from edgemeter_agent.board.facts import read_facts
from edgemeter_agent.cli import bench, bench_report, doctor, plan_options
from edgemeter_agent.runtimes.installed import InstalledRuntime
from edgemeter_protos import plans
from edgemeter_protos.v1 import device_pb2, plan_pb2, result_pb2


def result(p50_ns: float, low: float, high: float) -> result_pb2.Result:
    return result_pb2.Result(
        plan=plans.resolve("quick"),
        runtime=device_pb2.RuntimeFacts(name="litert", version="2.3.0"),
        latency=result_pb2.Latency(
            scenario=plan_pb2.SCENARIO_SINGLE_STREAM, samples=1000, batch_queries=1,
            p50_ns=p50_ns, p90_ns=2 * p50_ns, p99_ns=3 * p50_ns,
            ci95_low_ns=low, ci95_high_ns=high,
        ),
        cold=result_pb2.Cold(load_ns=1_500_000, first_inference_ns=20_000),
        energy=result_pb2.Energy(status=result_pb2.ENERGY_STATUS_NO_METER, detail="no meter on this board"),
        peak_rss_bytes=50 * 1024 * 1024,
        conditions=result_pb2.Conditions(
            blocks_kept=4,
            void_reasons={"steal": 2},
            before=result_pb2.Snapshot(monotonic_ns=2**60, governor="performance"),
            unreadable=[device_pb2.Observable(name="frequency", detail="none")],
        ),
        verdict=result_pb2.Verdict(
            state=result_pb2.VERDICT_STATE_DEGRADED,
            reasons=[result_pb2.VerdictReason(code="hot", detail="did not cool down")],
        ),
    )  # fmt: skip


VOID = result_pb2.Result(
    energy=result_pb2.Energy(status=result_pb2.ENERGY_STATUS_NO_METER),
    verdict=result_pb2.Verdict(
        state=result_pb2.VERDICT_STATE_VOID,
        reasons=[result_pb2.VerdictReason(code="load_failed", detail="no model")],
    ),
)


def test_json_has_the_keys_of_an_export_and_whole_numbers_stay_numbers() -> None:
    document = bench_report.as_json("a.tflite", 4096, result(1000.0, 990.0, 1010.0), {})
    assert document["latency"]["ci95_ns"] == [990.0, 1010.0]
    assert document["latency"]["scenario"] == "single-stream"
    assert document["latency"]["n"] == 1000
    assert (document["cold"]["load_ns"], document["cold"]["first_inference_ns"]) == (1_500_000, 20_000)
    assert (document["energy"]["status"], document["energy"]["detail"]) == (
        "no_meter",
        "no meter on this board",
    )
    assert document["energy"]["net_uj_per_inference"] is None
    assert document["conditions"]["before"]["monotonic_ns"] == 2**60
    assert document["conditions"]["before"]["governor"] == "performance"
    assert document["conditions"]["before"]["frequency_hz"] is None
    assert document["conditions"]["void_reasons"] == {"steal": 2}
    assert document["verdict"] == {
        "state": "degraded",
        "reasons": [{"code": "hot", "detail": "did not cool down"}],
    }


def test_texts_among_the_conditions_stay_texts() -> None:
    measured = result(1000.0, 990.0, 1010.0)
    measured.conditions.changes.append("power mode 25W, then 15W")
    measured.conditions.before.power_mode = "25W"
    measured.conditions.before.zones_millicelsius["cpu-thermal"] = 48_000
    conditions = bench_report.as_json("a.tflite", 4096, measured, {})["conditions"]
    assert conditions["changes"] == ["power mode 25W, then 15W"]
    assert conditions["before"]["power_mode"] == "25W"
    assert conditions["before"]["zones_millicelsius"] == {"cpu-thermal": 48_000}


def test_json_of_what_was_not_measured_is_null_and_not_zero() -> None:
    document = bench_report.as_json("a.tflite", 4096, VOID, {})
    assert document["latency"]["p50_ns"] is None
    assert document["latency"]["n"] is None
    assert document["cold"]["load_ns"] is None
    assert document["throughput"]["samples_per_s"] is None
    assert document["verdict"]["state"] == "void"


def against_first(ratio: float, outcome: result_pb2.Outcome.ValueType) -> result_pb2.Comparison:
    return result_pb2.Comparison(
        baseline_variant_id="a", ratio=ratio, ci95_low=0.9 * ratio, ci95_high=1.1 * ratio, outcome=outcome
    )


def test_the_table() -> None:
    results = [result(2000, 1990, 2010), result(1000, 990, 1010), result(2005, 1995, 2015), VOID]
    results[1].comparison.CopyFrom(against_first(0.5, result_pb2.OUTCOME_FASTER))
    results[2].comparison.CopyFrom(against_first(1.0, result_pb2.OUTCOME_CANNOT_TELL))
    lines = bench_report.as_table(["a", "b", "c", "d"], [2048] * 4, results).splitlines()
    assert lines[0].split("  ")[0] == "model"
    assert " ".join(lines[0].split()).endswith("p99 vs first load first run peak memory verdict")
    assert " ".join(lines[1].split()).startswith("a 2.05 kB 2.00 µs 4.00 µs 6.00 µs - 1.50 ms")
    assert "0.50x (0.45-0.55)" in lines[2]
    assert "cannot tell" in lines[3]
    assert lines[4].split() == ["d", "2.05", "kB", *"-------", "void"]
    assert lines[-1] == "d: load_failed: no model"


def test_the_table_has_columns_of_what_was_measured() -> None:
    offline, served, powered = (result(2000, 1990, 2010) for _ in range(3))
    offline.throughput.samples_per_s = 1234.5
    served.plan.scenario = plan_pb2.SCENARIO_SERVER
    served.serving.achieved_qps, served.serving.highest_qps = 40.0, 42.0
    powered.energy.CopyFrom(
        result_pb2.Energy(
            status=result_pb2.ENERGY_STATUS_MEASURED,
            gross_uj_per_inference=2000,
            net_uj_per_inference=1500,
            net_uncertainty_uj=30,
            idle_before_mw=100,
        )
    )
    results = [offline, served, powered]
    lines = bench_report.as_table(["a", "b", "c"], [2048] * 3, results).splitlines()
    for title in ("samples/s", "queries/s", "energy/inference"):
        assert title in lines[0]
    assert "1,234" in lines[1]
    assert "42" in lines[2]
    assert "no meter" in lines[2]
    assert "1.50 mJ ±2.0%" in lines[3]


def test_all_of_a_model_in_sections() -> None:
    document = bench_report.as_json("a.tflite", 4096, result(1000.0, 990.0, 1010.0), {})
    text = bench_report.as_details([document])
    assert text.startswith("a.tflite, 4.10 kB\n  latency\n")
    assert "not measured: no meter on this board" in text
    assert "steal 2" in text


def arguments(*typed: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    subparsers = parser.add_subparsers()
    bench.add_parser(subparsers)
    doctor.add_parser(subparsers)
    return parser.parse_args(typed)


def test_options_become_a_plan() -> None:
    plan = plan_options.plan_of(
        arguments(
            "bench",
            "m",
            "--profile",
            "standard",
            "--threads",
            "2",
            "--min-queries",
            "7",
            "--min-duration",
            "0.25",
        )
    )
    assert plan == plans.resolve(
        "standard", threads=2, block_min_queries=7, block_min_duration_ns=250_000_000
    )


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        (None, [], "No such file or directory"),
        (b"", [], "is no TFLite model"),
        (b"PK\x03\x04 a keras file", [], "is no TFLite model"),
        (b"\0\0\0\0TFL3", ["--threads", "0"], "threads is 0; it must be from 1"),
        (b"\0\0\0\0TFL3", ["--min-duration", "-1"], "is no duration"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, options: list[str], says: str
) -> None:
    model = tmp_path / "m.tflite"
    if content is not None:
        model.write_bytes(content)
    assert bench.run(arguments("bench", str(model), *options)) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert says in said.err


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["x/a.tflite", "y/b.tflite"], ["a.tflite", "b.tflite"]),
        (["x/a.tflite", "y/a.tflite"], ["x/a.tflite", "y/a.tflite"]),
        # one file twice is an A/A test
        (["x/a.tflite", "x/a.tflite"], ["a.tflite", "a.tflite (2)"]),
    ],
)
def test_names(paths: list[str], names: list[str]) -> None:
    assert bench.distinct_names(paths) == names


def test_doctor_says_what_is_wrong_with_a_runtime() -> None:
    runtimes = [
        InstalledRuntime(name="litert", version="2.3.0", formats=("tflite",)),
        InstalledRuntime(
            name="tflite-runtime",
            version="2.14.0",
            formats=("tflite",),
            unusable_because="numpy 2 is installed",
        ),
    ]
    text = doctor.as_text(read_facts(), runtimes, "qemu")
    assert "yes  litert 2.3.0             runs tflite" in text
    assert "no   tflite-runtime 2.14.0    numpy 2 is installed" in text
    assert "no   energy       no meter on this board" in text
    assert "emulated  qemu: timings mean nothing here" in text
    assert "transfer  compressed (zstandard " in text
    document = doctor.as_json(read_facts(), runtimes, None)
    assert document["runtimes"][1]["unusable_because"] == "numpy 2 is installed"
    assert isinstance(document["memory_bytes"], int)


def writing(decode_tokens_per_s: float) -> result_pb2.Result:
    made = result(1e9, 0.9e9, 1.1e9)
    made.text_speed.CopyFrom(
        result_pb2.TextSpeed(
            prompt_tokens=64,
            new_tokens=48,
            generations=12,
            ttft_p50=result_pb2.Percentile(percent=50, value_ns=3e8),
            decode_tokens_per_s=decode_tokens_per_s,
            decode_ci95_low=0.9 * decode_tokens_per_s,
            decode_ci95_high=1.1 * decode_tokens_per_s,
        )
    )
    made.energy.CopyFrom(
        result_pb2.Energy(
            status=result_pb2.ENERGY_STATUS_MEASURED,
            gross_uj_per_inference=5000,
            gross_uncertainty_uj=50,
            sample_noun="token",
        )
    )
    return made


def test_a_table_of_texts() -> None:
    header, first, second = bench_report.as_table(["a", "b"], [1, 2], [writing(46.0), writing(0)]).split(
        "\n"
    )[:3]
    assert "first token  tokens/s" in header
    assert "energy/token" in header
    assert "300 ms" in first
    assert "46 ±10%" in first
    assert "5.00 mJ" in first
    # one token was written: there is no rate
    assert " - " in second


def test_a_table_of_texts_and_others_says_only_energy() -> None:
    other = result(1000.0, 990.0, 1010.0)
    other.energy.status = result_pb2.ENERGY_STATUS_MEASURED
    header = bench_report.as_table(["a", "b"], [1, 2], [writing(46.0), other]).split("\n")[0]
    assert "energy  " in header
    assert "energy/" not in header


@pytest.mark.parametrize(
    ("format_", "writes"), [("gguf", True), ("onnx-genai", True), ("tflite", False), ("onnx", False)]
)
def test_what_bench_lets_a_language_model_write(format_: str, writes: bool) -> None:
    generation = bench.generation_of(format_, 130, 7)
    assert (generation is not None) == writes
    if generation is not None:
        assert len(generation.prompt_ids) == 130
        assert generation.new_tokens == 7
        assert set(generation.prompt_ids) == set(range(32, 96))
