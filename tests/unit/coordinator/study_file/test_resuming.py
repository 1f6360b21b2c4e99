"""Whether a part is made, and under which name."""

from __future__ import annotations

import pytest

from edgemeter_coordinator.study_file.resuming import Make, There, decide, differences
from edgemeter_protos import plans
from edgemeter_protos.v1 import lab_pb2

COMPLETED, FAILED, CANCELLED, MEASURING = (
    lab_pb2.STUDY_STATE_COMPLETED,
    lab_pb2.STUDY_STATE_FAILED,
    lab_pb2.STUDY_STATE_CANCELLED,
    lab_pb2.STUDY_STATE_MEASURING,
)


def study(
    name: str,
    state: lab_pb2.StudyState.ValueType = COMPLETED,
    *,
    model: str = "m",
    data: str = "d",
    recipes: tuple[str, ...] = ("float32@tflite", "int8@tflite"),
    blocks: int = 4,
    boards: tuple[str, ...] = ("pi",),
) -> lab_pb2.Study:
    return lab_pb2.Study(
        name=name,
        state=state,
        model_digest=model,
        dataset_digest=data,
        variants=[lab_pb2.StudyVariant(recipe=recipe) for recipe in recipes],
        plan=plans.resolve("quick", blocks=blocks),
        jobs=[lab_pb2.Job(device_id=board) for board in boards],
    )


PLANNED = study("")


@pytest.mark.parametrize(
    ("made", "name", "why"),
    [
        ([], "f/a", ""),
        # Other files', other parts'.
        ([study("g/a"), study("f/b"), study("f"), study("f/a/x")], "f/a", ""),
        ([study("f/a", FAILED)], "f/a/2", "f/a failed"),
        ([study("f/a", CANCELLED)], "f/a/2", "f/a cancelled"),
        ([study("f/a/2", FAILED), study("f/a", FAILED)], "f/a/3", "f/a/2 failed"),
        # The last of the same failed: an earlier one that completed was no better known then.
        ([study("f/a", COMPLETED), study("f/a/2", FAILED)], "f/a/3", "f/a/2 failed"),
        ([study("f/a", model="n")], "f/a/2", "f/a has another model"),
        ([study("f/a", recipes=("float32@tflite",))], "f/a/2", "f/a has other recipes"),
        ([study("f/a", blocks=8, boards=("jetson",))], "f/a/2", "f/a has another plan, other boards"),
    ],
)
def test_what_is_made(made: list[lab_pb2.Study], name: str, why: str) -> None:
    decided = decide("f", "a", PLANNED, made)
    assert isinstance(decided, Make)
    assert (str(decided.name), decided.why) == (name, why)


@pytest.mark.parametrize(
    ("made", "keep_failed", "which"),
    [
        ([study("f/a")], False, 0),
        ([study("f/a", MEASURING)], False, 0),
        # A later one on another board does not hide it.
        ([study("f/a/2", boards=("jetson",)), study("f/a")], False, 1),
        ([study("f/a", FAILED), study("f/a/2")], False, 1),
        ([study("f/a", FAILED)], True, 0),
        ([study("f/a/2", FAILED), study("f/a")], True, 0),
    ],
)
def test_what_is_there(made: list[lab_pb2.Study], keep_failed: bool, which: int) -> None:
    assert decide("f", "a", PLANNED, made, keep_failed=keep_failed) == There(study=made[which])


def test_a_cancelled_one_is_never_kept() -> None:
    assert isinstance(decide("f", "a", PLANNED, [study("f/a", CANCELLED)], keep_failed=True), Make)


@pytest.mark.parametrize("state", [COMPLETED, FAILED, CANCELLED])
def test_anew_takes_none_that_ended(state: lab_pb2.StudyState.ValueType) -> None:
    assert isinstance(decide("f", "a", PLANNED, [study("f/a", state)], anew=True), Make)


def test_anew_goes_on_with_one_that_runs() -> None:
    made = [study("f/a/2", MEASURING), study("f/a")]
    assert decide("f", "a", PLANNED, made, anew=True) == There(study=made[0])


def test_differences_name_each() -> None:
    other = study("", model="n", data="e", recipes=("int8@tflite",), blocks=1, boards=("pi", "jetson"))
    assert differences(PLANNED, other) == [
        "another model",
        "other data",
        "other recipes",
        "another plan",
        "other boards",
    ]
    assert differences(PLANNED, study("x", boards=("pi",))) == []
