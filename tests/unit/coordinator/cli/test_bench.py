from __future__ import annotations

import pytest

from edgemeter_coordinator.cli import cells
from edgemeter_coordinator.cli.completion import complete_profile
from edgemeter_coordinator.cli.serve import local_address
from edgemeter_coordinator.cli.study import failures
from edgemeter_protos.v1 import lab_pb2, variant_pb2


def test_profiles_complete() -> None:
    assert complete_profile("") == ["quick", "standard", "publication"]
    assert complete_profile("st") == ["standard"]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        # Listening everywhere is dialled at loopback.
        ("0.0.0.0", "127.0.0.1:7443"),
        ("::", "[::1]:7443"),
        ("192.168.1.10", "192.168.1.10:7443"),
    ],
)
def test_where_a_local_user_dials(host: str, address: str) -> None:
    assert local_address(host, 7443) == address


def test_what_failed_is_told_a_line_each() -> None:
    study = lab_pb2.Study(
        variants=[
            lab_pb2.StudyVariant(recipe="int8@tflite", state=lab_pb2.VARIANT_STATE_FAILED, error="no memory"),
            lab_pb2.StudyVariant(recipe="float32@tflite", state=lab_pb2.VARIANT_STATE_READY),
        ],
        jobs=[
            lab_pb2.Job(device_name="pi", state=lab_pb2.JOB_STATE_FAILED, detail="deadline"),
            lab_pb2.Job(device_name="ok", state=lab_pb2.JOB_STATE_COMPLETED),
        ],
    )
    assert failures(study) == ["int8@tflite: no memory", "pi: deadline"]


def test_a_runtimes_versions() -> None:
    need = variant_pb2.RuntimeRequirement(runtime="litert", min_version="1.4", below_version="3")
    assert cells.requirement(need) == "litert >=1.4 <3"
    assert cells.requirement(variant_pb2.RuntimeRequirement(runtime="litert")) == "litert"
