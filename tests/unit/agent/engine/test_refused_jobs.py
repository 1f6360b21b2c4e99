from __future__ import annotations

import os
from pathlib import Path

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.engine.job import run_job
from edgemeter_protos import plans
from edgemeter_protos.v1 import engine_pb2


def test_more_threads_than_processors(tmp_path: Path) -> None:
    processors = os.cpu_count() or 1
    job = engine_pb2.EngineJob(
        plan=plans.resolve("quick", threads=processors + 1),
        variants=[engine_pb2.EngineVariant(artifact_path=str(tmp_path / "never-read"))],
        work_dir=str(tmp_path / "work"),
    )
    events: list[engine_pb2.EngineEvent] = []
    run_job(job, events.append, BoardRoot(tmp_path))
    (event,) = events
    assert f"{processors + 1} threads, and this board has {processors} processors" in event.failure.detail
    assert not event.failure.device_failed
