"""How the link comes and goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgemeter_agent import cli, identity
from edgemeter_agent.identity import Identity
from edgemeter_agent.link.core import EXIT_SUPERSEDED
from edgemeter_protos.v1 import fleet_pb2
from tests.integration.agent.link.miniature_coordinator import Coordinator
from tests.integration.agent.link.patience import wait_until
from tests.integration.agent.link.running_link import StartLink


def test_it_reconnects_when_the_coordinator_comes_back(
    coordinator: Coordinator, start_link: StartLink
) -> None:
    agent = start_link("measure")
    wait_until(lambda: coordinator.attached, "the first session")
    coordinator.stop()
    coordinator.start()
    wait_until(lambda: coordinator.attached and len(coordinator.seen.hellos) >= 2, "the second session")
    coordinator.offer("job", [b"artifact"])
    wait_until(lambda: coordinator.end_of("job"), "a job's end")
    assert agent.exit_code is None


def test_it_reconnects_when_heartbeats_go_unanswered(coordinator: Coordinator, start_link: StartLink) -> None:
    coordinator.faults.silent = True
    start_link("measure")
    wait_until(lambda: len(coordinator.seen.hellos) >= 2, "another session")
    coordinator.faults.silent = False
    wait_until(lambda: coordinator.attached, "a session that lasts")


def test_a_running_attempt_survives_a_lost_stream(
    coordinator: Coordinator, start_link: StartLink, tmp_path: Path
) -> None:
    coordinator.offer("job", [b"artifact"])
    start_link("hang", tmp_path / "pid")
    wait_until((tmp_path / "pid").exists, "the engine's child")
    goodbye = fleet_pb2.Goodbye(reason=fleet_pb2.GOODBYE_REASON_SHUTTING_DOWN)
    coordinator.tell(fleet_pb2.AttachResponse(goodbye=goodbye))
    wait_until(lambda: len(coordinator.seen.hellos) >= 2, "another session")
    held = coordinator.seen.hellos[1].held
    assert [(ref.job_id, ref.attempt) for ref in held] == [("job", 1)]
    assert coordinator.end_of("job") is None


def test_the_newest_session_wins(coordinator: Coordinator, start_link: StartLink) -> None:
    older = start_link("measure", state="one")
    wait_until(lambda: coordinator.attached, "the older session")
    newer = start_link("measure", state="two")
    assert older.join() == EXIT_SUPERSEDED
    coordinator.offer("job", [b"artifact"])
    wait_until(lambda: coordinator.end_of("job"), "a job's end")
    assert newer.exit_code is None


def test_a_revoked_board_says_so_once_and_waits(
    coordinator: Coordinator, start_link: StartLink, caplog: pytest.LogCaptureFixture
) -> None:
    coordinator.faults.revoked = True
    agent = start_link("measure")
    line = "this board's certificate is revoked: join again"
    wait_until(lambda: line in caplog.text, "the line in the log")
    assert len(coordinator.seen.hellos) == 1
    assert agent.stop() == 0


def test_run_before_join_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--state-dir", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "has not joined a coordinator" in said
    assert said.count("\n") == 1


def test_the_command_runs_once_a_state_directory_and_ends_at_sigterm(
    coordinator: Coordinator, identity: Identity, tmp_path: Path
) -> None:
    save(identity, tmp_path)
    command = [sys.executable, "-m", "edgemeter_agent", "run", "--state-dir", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as first:
        try:
            wait_until(lambda: coordinator.attached, "the first agent")
            second = subprocess.run(command, capture_output=True, text=True, timeout=60)
            assert second.returncode == 1
            assert f"another edgemeter-agent (pid {first.pid})" in second.stderr
            assert second.stderr.count("\n") == 1
        finally:
            first.terminate()
            _, said = first.communicate(timeout=30)
    assert first.returncode == 0
    assert "stopped by SIGTERM" in said
    assert "Traceback" not in said
    wait_until(lambda: not coordinator.attached, "the stream's end")


def save(joined: Identity, folder: Path) -> None:
    identity.save(joined, folder / "identity.json")


def test_the_idle_agent_imports_nothing_heavy() -> None:
    """The budget of an idle board is 40 MB: numpy alone would break it."""
    heavy = {"numpy", "ai_edge_litert", "tflite_runtime", "tensorflow", "cryptography", "importlib.metadata"}
    program = (
        "import sys; from edgemeter_agent import cli; cli.parser_for(['run']); "
        f"from edgemeter_agent.link import driver; print(sorted({heavy} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
