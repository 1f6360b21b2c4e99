"""A coordinator that ends in the middle of a conversion. Alone in its module: nobody else has workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgemeter_protos.v1 import lab_pb2
from tests.integration.coordinator.lab.laboratory import Laboratory, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.needs_tensorflow]


async def test_a_conversion_goes_on_after_a_restart(tmp_path: Path, material: Path) -> None:
    laboratory = await Laboratory(tmp_path / "coordinator").start()
    try:
        await laboratory.add_model(material / "stripes.keras")
        await laboratory.add_dataset(material / "stripes.npz")
        await laboratory.join(name="pi-a", labels={})
        study = await laboratory.create("float32")

        async def converting() -> bool:
            shown = await laboratory.study(study.id)
            return shown.variants[0].state == lab_pb2.VARIANT_STATE_CONVERTING

        await until("a conversion", converting)
        workers = laboratory.worker_processes()
        assert workers
    finally:
        await laboratory.stop()
    assert not any(process.is_running() for process in workers), "workers outlive the coordinator"
    await laboratory.start()
    try:
        study = await laboratory.watched(study.id, lab_pb2.STUDY_STATE_MEASURING)
        assert study.variants[0].state == lab_pb2.VARIANT_STATE_READY
        assert study.variants[0].manifest.artifact_digest
    finally:
        await laboratory.stop()
