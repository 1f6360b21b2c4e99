"""The engine dies without a chance to put the governor back."""

from __future__ import annotations

import sys
from pathlib import Path

from edgemeter_agent.attempts import AttemptKey
from edgemeter_agent.blob_cache import BlobCache
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.link.fetching import Fetcher
from edgemeter_agent.spool import Spool
from edgemeter_agent.state_dir import StateDir
from edgemeter_agent.worker import AttemptWorker
from edgemeter_protos.v1 import fleet_pb2, plan_pb2

POLICY = "sys/devices/system/cpu/cpufreq/policy0"

# An engine that sets the governor and is killed.
ENGINE = """
import os, signal, sys
from pathlib import Path
from edgemeter_agent.board.governor import performance
from edgemeter_agent.board.root import BoardRoot
with performance(BoardRoot(Path(sys.argv[1]))) as why_not:
    assert why_not is None
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_agent_puts_the_governor_back(tmp_path: Path) -> None:
    board = BoardRoot(tmp_path / "board")
    board.path(POLICY).mkdir(parents=True)
    governor = board.path(f"{POLICY}/scaling_governor")
    governor.write_text("ondemand")
    state_dir = StateDir(tmp_path / "state")
    spool = Spool(state_dir.spool_dir)
    ended: list[tuple[AttemptKey, bool]] = []
    worker = AttemptWorker(
        fleet_pb2.Assignment(
            attempt=fleet_pb2.AttemptRef(job_id="job", attempt=1), plan=plan_pb2.Plan(profile="quick")
        ),
        fetcher=Fetcher(BlobCache(state_dir.cache_dir), None),  # type: ignore[arg-type]
        spool=spool,
        state_dir=state_dir,
        engine_command=(sys.executable, "-c", ENGINE, str(board.root)),
        progress=lambda _progress: None,
        spooled=lambda: None,
        ended=lambda attempt, stored: ended.append((attempt, stored)),
        board=board,
    )
    worker.start()
    assert worker.join(60)
    assert ended == [(AttemptKey("job", 1), True)]
    entry = spool.first()
    assert entry is not None
    assert entry.request.end.outcome == fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED
    assert "signal 9" in entry.request.end.detail
    assert governor.read_text() == "ondemand"
    spool.close()
