"""Meters as a table and as JSON: the board's own with what is known of them, attached ones without."""

from __future__ import annotations

import json

from edgemeter_coordinator.cli import cells, device, meter, records
from edgemeter_protos.v1 import device_pb2, lab_pb2
from tests.unit.coordinator.report.measured import METER

BOARD = lab_pb2.Device(
    name="orin",
    id="d1",
    attached=True,
    facts=device_pb2.DeviceFacts(
        board="Jetson Orin Nano",
        arch="aarch64",
        cpu_count=6,
        memory_bytes=8_000_000_000,
        meters=[METER, device_pb2.MeterFacts(name="rapl", coverage="package")],
        runtimes=[
            device_pb2.RuntimeFacts(name="onnxruntime", version="1.23", accelerators=["cpu", "cuda"]),
            device_pb2.RuntimeFacts(name="litert", version="2.3"),
        ],
    ),
    meters=[lab_pb2.AttachedMeter(spec="shelly:10.0.0.7", attached_by="ada", attached_at_unix_ms=1)],
)


def test_a_boards_meters_come_before_what_was_attached() -> None:
    own, plain, attached = meter.rows(BOARD)
    assert own[:4] == ("orin", "ina3221", "module", "ina3221")
    assert own[4:8] == ("100", "40.0 mW", "0.3 %", "gain 1.0030, offset 2.50 mW")
    # What an agent does not say is not shown as zero.
    assert plain[3:8] == (cells.NONE, cells.NONE, cells.NONE, cells.NONE, "no")
    assert attached[1] == "shelly:10.0.0.7"
    assert set(attached[2:8]) == {cells.NONE}
    assert attached[8].endswith("by ada")


def test_meters_as_json() -> None:
    own, plain, attached = records.meters(BOARD)
    assert (own["device"], own["name"], own["attached"], own["calibrated_gain"]) == (
        "orin",
        "ina3221",
        False,
        1.003,
    )
    assert plain["calibrated_gain"] == 1.0
    assert (attached["spec"], attached["attached"]) == ("shelly:10.0.0.7", True)
    assert (attached["name"], attached["rate_hz"], attached["calibrated_gain"]) == (None, None, None)
    assert set(own) == set(attached)


def test_a_device_says_what_it_has() -> None:
    record = records.device(BOARD)
    assert json.loads(json.dumps(record)) == record
    assert [runtime["accelerators"] for runtime in record["facts"]["runtimes"]] == [["cpu", "cuda"], None]
    assert record["facts"]["meters"][0]["coverage"] == "module"
    assert record["attached_meters"][0]["spec"] == "shelly:10.0.0.7"


def test_a_device_is_described() -> None:
    lines = dict(device.described(BOARD))
    assert lines["memory"] == "8.00 GB"
    assert lines["processors"] == "6"
    assert lines["state"] == "free, attached"
    # Of an agent that says less.
    bare = dict(device.described(lab_pb2.Device(name="pi")))
    assert (bare["memory"], bare["processors"], bare["SoC"]) == (cells.NONE, cells.NONE, cells.NONE)
