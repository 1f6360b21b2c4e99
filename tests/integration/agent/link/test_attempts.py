"""An agent at work against a coordinator in miniature."""

from __future__ import annotations

import hashlib
import os
import time
from functools import partial
from pathlib import Path

import pytest

from edgemeter_agent.attempts import AttemptKey
from edgemeter_agent.spool import Spool, pending_attempts
from edgemeter_protos.v1 import fleet_pb2, result_pb2
from tests.integration.agent.link.miniature_coordinator import Coordinator
from tests.integration.agent.link.patience import wait_until
from tests.integration.agent.link.running_link import RunningLink, StartLink

ARTIFACTS = [b"first artifact" * 1000, b"second artifact" * 1000]


def gone(pid: int) -> bool:
    """No such process, or only its corpse: in a container nobody may collect orphans."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_job_is_claimed_measured_and_reported(
    coordinator: Coordinator, start_link: StartLink, tmp_path: Path
) -> None:
    coordinator.offer("job", ARTIFACTS)
    agent = start_link("measure")
    end = wait_until(lambda: coordinator.end_of("job"), "the attempt's end")
    assert end.outcome == fleet_pb2.ATTEMPT_OUTCOME_COMPLETED
    assert coordinator.sequences("job") == [1, 2, 3]
    results = [coordinator.reports["job", 1, sequence].result for sequence in (1, 2)]
    assert [result.variant_id for result in results] == ["v0", "v1"]
    for result, artifact in zip(results, ARTIFACTS, strict=True):
        assert coordinator.blobs[result.samples_digest] == artifact[::-1]
        assert result.id
        assert result.plan.profile == "quick"
    assert any(progress.phase.startswith("fetching") for progress in coordinator.seen.progress)
    assert agent.stop() == 0
    # Nothing is left: neither reports, nor their files, nor work.
    assert pending_attempts(tmp_path / "state" / "spool") == ()
    assert list((tmp_path / "state" / "spool" / "blobs").iterdir()) == []
    assert list((tmp_path / "state" / "work").iterdir()) == []
    assert not (tmp_path / "state" / "engine.json").exists()


def test_jobs_follow_one_another_without_a_nudge(coordinator: Coordinator, start_link: StartLink) -> None:
    for job in ("a", "b", "c"):
        coordinator.offer(job, ARTIFACTS[:1])
    start_link("measure")
    for job in ("a", "b", "c"):
        wait_until(partial(coordinator.end_of, job), f"the end of {job}")
    # The artifact is fetched once.
    assert len([digest for digest, _ in coordinator.seen.offsets]) == 2


def test_a_broken_fetch_goes_on_where_it_broke(coordinator: Coordinator, start_link: StartLink) -> None:
    artifact = os.urandom(3 * 1024 * 1024)
    coordinator.offer("job", [artifact])
    digest = hashlib.sha256(artifact).hexdigest()
    coordinator.faults.break_after_bytes[digest] = 1024 * 1024
    start_link("measure")
    end = wait_until(lambda: coordinator.end_of("job"), "the attempt's end")
    assert end.outcome == fleet_pb2.ATTEMPT_OUTCOME_COMPLETED
    assert [offset for found, offset in coordinator.seen.offsets if found == digest] == [0, 1024 * 1024]


@pytest.mark.parametrize(
    ("damaged_times", "outcome", "detail"),
    [
        pytest.param(1, fleet_pb2.ATTEMPT_OUTCOME_COMPLETED, "", id="a damaged blob is fetched again"),
        pytest.param(2, fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED, "twice", id="but once only"),
    ],
)
def test_a_damaged_blob(
    coordinator: Coordinator,
    start_link: StartLink,
    damaged_times: int,
    outcome: fleet_pb2.AttemptOutcome.ValueType,
    detail: str,
) -> None:
    coordinator.offer("job", ARTIFACTS[:1])
    digest = hashlib.sha256(ARTIFACTS[0]).hexdigest()
    coordinator.faults.damage_times[digest] = damaged_times
    start_link("measure")
    end = wait_until(lambda: coordinator.end_of("job"), "the attempt's end")
    assert end.outcome == outcome
    assert detail in end.detail
    assert coordinator.seen.offsets.count((digest, 0)) == 2


def test_a_blob_that_the_coordinator_lost_fails_the_job(
    coordinator: Coordinator, start_link: StartLink
) -> None:
    coordinator.offer("job", ARTIFACTS[:1])
    del coordinator.blobs[hashlib.sha256(ARTIFACTS[0]).hexdigest()]
    start_link("measure")
    end = wait_until(lambda: coordinator.end_of("job"), "the attempt's end")
    assert end.outcome == fleet_pb2.ATTEMPT_OUTCOME_JOB_FAILED
    assert "no blob" in end.detail


@pytest.mark.parametrize(
    ("engine", "outcome", "detail"),
    [
        ("refuse", fleet_pb2.ATTEMPT_OUTCOME_JOB_FAILED, "no runtime here runs int4@onnx"),
        ("crash", fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED, "exit code 3: Segmentation fault in the fake"),
        ("garble", fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED, "the benchmark engine ended with signal 15"),
    ],
)
def test_an_engine_that_fails(
    coordinator: Coordinator,
    start_link: StartLink,
    engine: str,
    outcome: fleet_pb2.AttemptOutcome.ValueType,
    detail: str,
) -> None:
    coordinator.offer("job", ARTIFACTS[:1])
    start_link(engine)
    end = wait_until(lambda: coordinator.end_of("job"), "the attempt's end")
    assert end.outcome == outcome
    assert detail in end.detail


def hanging(
    coordinator: Coordinator,
    start_link: StartLink,
    tmp_path: Path,
    mode: str = "hang",
    deadline_s: float = 60.0,
) -> tuple[RunningLink, int, int]:
    """A job whose engine hangs, with a child that does: the agent, the engine's pid and the child's."""
    pid_file = tmp_path / "pid"
    coordinator.offer("job", ARTIFACTS[:1], deadline_s=deadline_s)
    agent = start_link(mode, pid_file)
    wait_until(pid_file.exists, "the engine's child")
    child = int(pid_file.read_text())
    engine = os.getpgid(child)
    assert engine != os.getpgid(0)
    return agent, engine, child


def test_a_cancellation_kills_the_whole_group(
    coordinator: Coordinator, start_link: StartLink, tmp_path: Path
) -> None:
    _, engine, child = hanging(coordinator, start_link, tmp_path)
    coordinator.cancel("job")
    wait_until(lambda: gone(engine) and gone(child), "the group's death")
    end = wait_until(lambda: coordinator.end_of("job"), "the attempt's end")
    assert end.outcome == fleet_pb2.ATTEMPT_OUTCOME_CANCELLED
    assert end.detail == "cancelled by ada"


def test_the_board_is_free_after_a_cancellation(
    coordinator: Coordinator, start_link: StartLink, tmp_path: Path
) -> None:
    hanging(coordinator, start_link, tmp_path)
    (tmp_path / "pid").unlink()
    coordinator.offer("next", ARTIFACTS[:1])
    coordinator.cancel("job")
    wait_until((tmp_path / "pid").exists, "the next job's engine")


def test_a_lost_lease_kills_and_forgets(
    coordinator: Coordinator, start_link: StartLink, tmp_path: Path
) -> None:
    _, engine, child = hanging(coordinator, start_link, tmp_path)
    coordinator.lost.add("job")
    wait_until(lambda: gone(engine) and gone(child), "the group's death")
    wait_until(lambda: not pending_attempts(tmp_path / "state" / "spool"), "the spool to forget it")
    assert coordinator.end_of("job") is None


def test_the_deadline_kills(coordinator: Coordinator, start_link: StartLink, tmp_path: Path) -> None:
    _, engine, child = hanging(coordinator, start_link, tmp_path, deadline_s=1.5)
    end = wait_until(lambda: coordinator.end_of("job"), "the attempt's end")
    assert end.outcome == fleet_pb2.ATTEMPT_OUTCOME_JOB_FAILED
    assert end.detail == "ran longer than the plan's deadline of 1.5 s"
    assert gone(engine)
    wait_until(lambda: gone(child), "the child's death")


def test_stopping_the_agent_kills_the_engine_and_says_so(
    coordinator: Coordinator, start_link: StartLink, tmp_path: Path
) -> None:
    agent, engine, child = hanging(coordinator, start_link, tmp_path, mode="hang-after-result")
    wait_until(lambda: coordinator.sequences("job") == [1], "the first result")
    assert agent.stop() == 0
    assert gone(engine)
    wait_until(lambda: gone(child), "the child's death")
    assert coordinator.sequences("job") == [1, 2]
    end = coordinator.end_of("job")
    assert end is not None
    assert end.outcome == fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED
    assert coordinator.attached == 0


def test_leases_are_renewed_while_the_engine_works(
    coordinator: Coordinator, start_link: StartLink, tmp_path: Path
) -> None:
    hanging(coordinator, start_link, tmp_path)
    wait_until(lambda: len(coordinator.seen.renewals) >= 4, "renewals at a quarter of the time to live")


def test_reports_are_delivered_after_the_coordinator_was_away(
    coordinator: Coordinator, start_link: StartLink, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    spool = Spool(state / "spool")
    attempt = AttemptKey("old", 3)
    spool.begin(attempt)
    samples = tmp_path / "samples"
    samples.write_bytes(b"samples" * 100_000)
    digest = hashlib.sha256(samples.read_bytes()).hexdigest()
    spool.add_result(attempt, result_pb2.Result(id="r", variant_id="v"), {"samples_digest": samples})
    spool.add_end(attempt, fleet_pb2.AttemptEnd(outcome=fleet_pb2.ATTEMPT_OUTCOME_COMPLETED))
    spool.close()
    # Half of the samples had got through before.
    coordinator.partial[digest] = bytearray(b"samples" * 50_000)
    coordinator.stop()
    start_link("measure")
    time.sleep(0.5)
    coordinator.start()
    wait_until(lambda: coordinator.end_of("old"), "the old attempt's end")
    assert AttemptKey.of(coordinator.seen.hellos[0].held[0]) == attempt
    assert len(coordinator.blobs[digest]) == 700_000
    assert sorted(coordinator.reports) == [("old", 3, 1), ("old", 3, 2)]


def test_an_attempt_that_a_kill_cut_short_is_reported(
    coordinator: Coordinator, start_link: StartLink, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "state" / "spool")
    spool.begin(AttemptKey("old", 1))
    spool.close()
    start_link("measure")
    end = wait_until(lambda: coordinator.end_of("old"), "its end")
    assert end.outcome == fleet_pb2.ATTEMPT_OUTCOME_DEVICE_FAILED
    assert end.detail == "the agent was restarted while measuring"


def test_what_the_coordinator_gave_up_is_forgotten(
    coordinator: Coordinator, start_link: StartLink, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "state" / "spool")
    spool.begin(AttemptKey("old", 1))
    spool.close()
    coordinator.cancel_held.add("old")
    start_link("measure")
    wait_until(lambda: not pending_attempts(tmp_path / "state" / "spool"), "the spool to forget it")
    coordinator.offer("new", ARTIFACTS[:1])
    wait_until(lambda: coordinator.end_of("new"), "the next job's end")
