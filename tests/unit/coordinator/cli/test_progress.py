from __future__ import annotations

from pathlib import Path

import pytest

from edgemeter_coordinator.cli.progress import Bars, Step, study_steps, upload_step
from edgemeter_protos.v1 import lab_pb2

Variant = lab_pb2.StudyVariant
Job = lab_pb2.Job


@pytest.mark.parametrize(
    ("variant", "fraction", "detail"),
    [
        (Variant(state=lab_pb2.VARIANT_STATE_WAITING), 0.0, "waiting"),
        # How long a conversion takes is not known.
        (Variant(state=lab_pb2.VARIANT_STATE_CONVERTING), None, "converting"),
        (Variant(state=lab_pb2.VARIANT_STATE_READY), 1.0, "converted"),
        (Variant(state=lab_pb2.VARIANT_STATE_READY, reused=True), 1.0, "reused"),
        (Variant(state=lab_pb2.VARIANT_STATE_FAILED, error="no memory"), 1.0, "failed: no memory"),
    ],
)
def test_a_variants_bar(variant: lab_pb2.StudyVariant, fraction: float | None, detail: str) -> None:
    (step,) = study_steps(lab_pb2.Study(variants=[variant]))
    assert (step.fraction, step.detail) == (fraction, detail)


@pytest.mark.parametrize(
    ("job", "fraction", "detail"),
    [
        (Job(state=lab_pb2.JOB_STATE_QUEUED, detail="its device is away"), 0.0, "its device is away"),
        (
            Job(state=lab_pb2.JOB_STATE_RUNNING, fraction=0.5, phase="block 3 of 6", attempt=1),
            0.5,
            "block 3 of 6",
        ),
        (
            Job(state=lab_pb2.JOB_STATE_RUNNING, fraction=0.1, phase="fetching", attempt=2),
            0.1,
            "attempt 2: fetching",
        ),
        (Job(state=lab_pb2.JOB_STATE_COMPLETED, fraction=0.97), 1.0, "completed"),
        (Job(state=lab_pb2.JOB_STATE_FAILED, detail="deadline"), 1.0, "deadline"),
    ],
)
def test_a_jobs_bar(job: lab_pb2.Job, fraction: float, detail: str) -> None:
    (step,) = study_steps(lab_pb2.Study(jobs=[job]))
    assert step.fraction == pytest.approx(fraction)
    assert step.detail == detail


def test_plain_lines_tell_each_milestone_once() -> None:
    lines: list[str] = []
    with Bars(draw=False, say=lines.append) as bars:
        for percent in range(101):
            job = Job(id="j", device_name="pi", state=lab_pb2.JOB_STATE_RUNNING, fraction=percent / 100)
            bars.show(study_steps(lab_pb2.Study(jobs=[job])))
    assert lines == [f"measure on pi: running {quarter} %" for quarter in (0, 25, 50, 75, 100)]


@pytest.mark.parametrize(("total_bytes", "lines"), [(0, 0), (1 << 20, 0), (64 << 20, 5)])
def test_only_large_uploads_are_worth_plain_lines(total_bytes: int, lines: int) -> None:
    said: list[str] = []
    with Bars(draw=False, say=said.append) as bars:
        for part in range(9):
            bars.show([upload_step(Path("m.keras"), total_bytes * part // 8, total_bytes)])
    assert len(said) == lines


def test_bars_are_drawn_and_end(capsys: pytest.CaptureFixture[str]) -> None:
    with Bars(draw=True) as bars:
        bars.show([Step(key="a", label="train", fraction=None, detail="starting")])
        bars.show([Step(key="a", label="train", fraction=1.0, detail="[bold]done")])
        bars.say("a line [red]as it is")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "train" in captured.err
    assert "[bold]done" in captured.err
    assert "a line [red]as it is" in captured.err


def test_a_conversion_tells_what_it_is_at() -> None:
    variant = lab_pb2.StudyVariant(
        variant_id="v",
        recipe="prune(0.5)@tflite",
        state=lab_pb2.VARIANT_STATE_CONVERTING,
        fraction=0.33,
        phase="fine-tuning, epoch 2 of 3, loss 0.31",
    )
    (step,) = study_steps(lab_pb2.Study(variants=[variant]))
    assert (step.fraction, step.detail) == (variant.fraction, "fine-tuning, epoch 2 of 3, loss 0.31")
    # Where nothing is drawn, not every loss is a line.
    assert step.milestone == "converting"
    variant.ClearField("fraction")
    variant.ClearField("phase")
    (step,) = study_steps(lab_pb2.Study(variants=[variant]))
    assert (step.fraction, step.detail) == (None, "converting")
