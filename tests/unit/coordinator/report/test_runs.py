"""Results as an experiment tracker's runs."""

from __future__ import annotations

import json
import math

from edgemeter_coordinator.report import export
from edgemeter_coordinator.report.runs import RESULT_TAG, runs_of
from edgemeter_protos.v1 import lab_pb2, variant_pb2
from tests.unit.coordinator.report.measured import measured
from tests.unit.coordinator.report.responses import full, nothing_measured


def named(response: lab_pb2.ListResultsResponse, result_id: str) -> lab_pb2.ListResultsResponse:
    response.result.id = result_id
    return response


def test_numbers_are_metrics_and_texts_parameters() -> None:
    response = named(measured(), "r1")
    response.device_metrics.append(variant_pb2.Quality(metric="top1", value=0.96, samples=100))
    response.device_metrics.append(variant_pb2.Quality(metric="psnr", value=math.inf, samples=100))
    (run,) = runs_of([response])
    assert run.name == "int8@tflite on pi-a"
    assert run.metrics["latency.p50_ns"] == 500.0
    assert run.metrics["comparison.ci95.low"] == 0.47
    assert run.metrics["energy.net_uj_per_inference"] == 2000
    assert run.metrics["device.top1"] == 0.96
    assert "device.psnr" not in run.metrics
    assert run.parameters["recipe"] == "int8@tflite"
    assert run.parameters["plan.blocks"] == "4"
    assert run.parameters["device.emulated"] == "False"
    assert not set(run.metrics) & set(run.parameters)
    assert all(math.isfinite(value) for value in run.metrics.values())
    assert run.tags[RESULT_TAG] == "r1"
    assert run.tags["edgemeter.verdict"] == "degraded"
    assert json.loads(run.artifacts["result.json"]) == export.exported([response])[0]


def test_what_was_not_measured_is_not_logged() -> None:
    (run,) = runs_of([named(nothing_measured(), "r2")])
    assert not [name for name in run.metrics if name.startswith(("latency.", "energy.", "cold."))]
    assert run.failed


def test_only_a_void_run_has_failed() -> None:
    assert [run.failed for run in runs_of([full(), measured(), nothing_measured()])] == [False, False, True]
