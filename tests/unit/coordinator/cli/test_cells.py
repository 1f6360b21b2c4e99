from __future__ import annotations

import pytest

from edgemeter_coordinator.cli import cells
from edgemeter_protos.v1 import variant_pb2

NOW_MS = 1_000_000_000_000


@pytest.mark.parametrize(
    ("away_s", "text"),
    [
        (0, "0 s ago"),
        (59, "59 s ago"),
        (60, "1 min ago"),
        (7200, "2 h ago"),
        (200_000, "2 d ago"),
        # When a token expires.
        (-3540, "in 59 min"),
    ],
)
def test_times(away_s: int, text: str) -> None:
    assert cells.ago(NOW_MS - away_s * 1000, now_ms=NOW_MS) == text


def test_a_time_that_never_came() -> None:
    assert cells.ago(0, now_ms=NOW_MS) == cells.NONE


def test_shapes() -> None:
    image = variant_pb2.TensorSpec(dtype="uint8", shape=[-1, 28, 28, 1])
    scalar = variant_pb2.TensorSpec(dtype="float32")
    assert cells.tensors([image, scalar]) == "?x28x28x1 uint8, scalar float32"


def test_labels_are_in_order() -> None:
    assert cells.labels({"rack": "a", "board": "pi5"}) == "board=pi5 rack=a"
    assert cells.labels({}) == cells.NONE
