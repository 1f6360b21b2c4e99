"""A conversion worker that is killed."""

from __future__ import annotations

import pytest

from edgemeter_protos.v1 import lab_pb2
from tests.integration.coordinator.lab.laboratory import Laboratory, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.needs_tensorflow]


async def test_a_killed_worker_fails_its_variant_and_the_others_go_on(laboratory: Laboratory) -> None:
    board = await laboratory.join(name="pi-a", labels={})
    for process in laboratory.worker_processes():
        # Its successor has TensorFlow to load first: a conversion is then met in the middle.
        process.kill()
    study = await laboratory.create("float32", "float16")
    killed: set[int] = set()

    async def failed() -> bool:
        shown = await laboratory.study(study.id)
        if shown.variants[0].state == lab_pb2.VARIANT_STATE_CONVERTING:
            for process in laboratory.worker_processes():
                process.kill()
                killed.add(process.pid)
        return shown.variants[0].state in (lab_pb2.VARIANT_STATE_FAILED, lab_pb2.VARIANT_STATE_READY)

    await until("the end of the first variant", failed)
    # The first of the two deaths may be that of the worker before, which was given the task on its way out.
    assert killed
    study = await laboratory.watched(study.id, lab_pb2.STUDY_STATE_MEASURING)
    states = [variant.state for variant in study.variants]
    assert states == [lab_pb2.VARIANT_STATE_FAILED, lab_pb2.VARIANT_STATE_READY]
    assert study.variants[0].error.startswith("the conversion worker died 2 times")
    # The board measures what there is, and the study says in the end that it is not whole.
    assignment = await board.claim()
    assert len(assignment.variants) == 1
    await board.end(assignment.attempt, 1)
    await laboratory.watched(study.id, lab_pb2.STUDY_STATE_FAILED)
    # A later study tries again what failed.
    later = await laboratory.create("float32", "float16")
    assert [variant.reused for variant in later.variants] == [False, True]
    later = await laboratory.watched(later.id, lab_pb2.STUDY_STATE_MEASURING)
    assert all(variant.state == lab_pb2.VARIANT_STATE_READY for variant in later.variants)
    # The first study did not measure what was built later, and keeps saying so.
    first = await laboratory.study(study.id)
    assert first.state == lab_pb2.STUDY_STATE_FAILED
    assert [variant.state for variant in first.variants] == states
