"""Raw data of results as files: one name for each, whatever a board or a recipe is called."""

from __future__ import annotations

from edgemeter_coordinator.sdk.raw_files import raw_files
from edgemeter_protos.v1 import lab_pb2, result_pb2
from tests.unit.coordinator.report.measured import measured
from tests.unit.coordinator.report.responses import nothing_measured


def test_what_there_is() -> None:
    late = measured()
    late.late, late.attempt = True, 2
    assert list(raw_files([measured(), nothing_measured(), late])) == [
        ("pi-a_int8@tflite_samples.npz", "a" * 64),
        ("pi-a_int8@tflite_trace.npz", "c" * 64),
        ("pi-a_int8@tflite_late2_samples.npz", "a" * 64),
        ("pi-a_int8@tflite_late2_trace.npz", "c" * 64),
    ]


def test_a_boards_name_leaves_the_folder_alone() -> None:
    response = lab_pb2.ListResultsResponse(
        device=lab_pb2.Device(name="../../etc/cron.d/x"), result=result_pb2.Result(samples_digest="a" * 64)
    )
    response.manifest.recipe = "prune(0.5)+int8@tflite"
    ((name, _),) = raw_files([response])
    assert "/" not in name
    assert not name.startswith(".")
    assert name.endswith("_prune(0.5)+int8@tflite_samples.npz")
