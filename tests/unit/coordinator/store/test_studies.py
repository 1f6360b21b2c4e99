"""What a study went on without stays failed for it, whatever later studies do."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection

from edgemeter_coordinator.conversion.engine import settle
from edgemeter_coordinator.schedule.leases import Job, JobState
from edgemeter_coordinator.service.submission import study_rows
from edgemeter_coordinator.store import jobs, studies, variants
from edgemeter_protos.v1 import lab_pb2, variant_pb2
from tests.lab_rows import add_device, add_study


def test_a_variant_built_for_a_later_study_is_not_this_ones(connection: Connection) -> None:
    add_device(connection, "pi")
    study = add_study(connection, ["pi"], states=("ready", "converting"), job_state=JobState.WAITING)
    late = study.variant_ids[1]
    assert variants.failed(connection, late, "no memory")
    assert settle(connection, late).device_ids == ("pi",)

    # A later study has it built again before this one's board has claimed its job.
    row = variants.get(connection, late)
    assert row is not None
    variants.await_build(
        connection,
        late,
        model_digest=row.model_digest,
        dataset_digest=row.dataset_digest,
        recipe=row.recipe,
    )
    variants.take_waiting(connection, 1)
    manifest = variant_pb2.Manifest(variant_id=late, artifact_digest="a")
    assert variants.ready(connection, late, manifest)

    # What the board measures is what the study says.
    measured = [each.variant_id for each in jobs.work(connection, study.study_id).variants]
    assert measured == [study.variant_ids[0]]
    seen = studies.variants_of(connection, [study.study_id])[study.study_id]
    assert [(each.state, each.error) for each in seen] == [("ready", ""), ("failed", "no memory")]
    (job,) = jobs.unended(connection, "pi")
    assert jobs.save(connection, job, _completed(job))
    assert study_rows(connection, study.study_id).standing.state == lab_pb2.STUDY_STATE_FAILED


def test_a_variant_that_no_runtime_runs_is_in_no_job(connection: Connection) -> None:
    add_device(connection, "pi")
    study = add_study(connection, ["pi"], states=("ready", "converting"))
    compared = variant_pb2.Manifest(
        variant_id=study.variant_ids[1], artifact_digest="a", golden=variant_pb2.GoldenPair(digest="g")
    )
    assert variants.ready(connection, study.variant_ids[1], compared)
    measured = [each.variant_id for each in jobs.work(connection, study.study_id).variants]
    assert measured == [study.variant_ids[0]]
    # It is built all the same, and shown.
    seen = studies.variants_of(connection, [study.study_id])[study.study_id]
    assert [each.state for each in seen] == ["ready", "ready"]


def _completed(job: Job) -> Job:
    return replace(job, state=JobState.COMPLETED)
