"""The engine as the agent starts it: a process driven over its pipes."""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.engine.pipes import read_message, write_message
from edgemeter_agent.engine.variant_process import VariantError, VariantProcess
from edgemeter_protos.v1 import engine_pb2

PATIENCE_S = 20
ENGINE = [sys.executable, "-m", "edgemeter_agent.engine"]
Engine = subprocess.Popen[bytes]


@pytest.fixture
def engine() -> Iterator[Callable[..., Engine]]:
    started: list[Engine] = []

    def start() -> Engine:
        process = subprocess.Popen(
            ENGINE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None and not pipe.closed:
                pipe.close()


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def wait_until(so: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if so():
            return True
        time.sleep(0.02)
    return so()


def until_first_block(process: Engine) -> None:
    while True:
        assert process.stdout is not None
        event = read_message(process.stdout, engine_pb2.EngineEvent)  # type: ignore[arg-type]
        assert event is not None
        if "block 1 of" in event.progress.phase:
            return


@pytest.mark.needs_tensorflow
def test_a_job_through_the_pipes(engine: Any, job: Any, variant: Any) -> None:
    process = engine()
    write_message(process.stdin, job([variant("int8")], processes=1))
    events = []
    while (event := read_message(process.stdout, engine_pb2.EngineEvent)) is not None:
        events.append(event.WhichOneof("event"))
    assert set(events) == {"progress", "result", "done"}
    assert events[-2:] == ["result", "done"]
    assert process.wait(PATIENCE_S) == 0


@pytest.mark.needs_tensorflow
@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda process: process.stdin.close(), id="the agent is gone: its pipe closes"),
        pytest.param(lambda process: process.terminate(), id="SIGTERM"),
        pytest.param(lambda process: process.kill(), id="SIGKILL"),
    ],
)
def test_the_engine_and_its_variants_end_together(
    engine: Any, job: Any, variant: Any, end: Callable[[Engine], None]
) -> None:
    process = engine()
    endless = job([variant("int8")], processes=1, block_min_duration_ns=10**12)
    write_message(process.stdin, endless)
    until_first_block(process)
    assert wait_until(lambda: bool(children_of(process.pid)))
    children = children_of(process.pid)
    end(process)
    process.wait(PATIENCE_S)
    assert wait_until(lambda: not any(is_running(child) for child in children))


def test_an_engine_that_is_asked_nothing_ends(engine: Any) -> None:
    process = engine()
    process.stdin.close()
    assert process.wait(PATIENCE_S) == 1


def test_rubbish_in_is_a_failure_out(engine: Any) -> None:
    process = engine()
    process.stdin.write(b"\x05\xff\xff\xff\xff\xff")
    process.stdin.flush()
    event = read_message(process.stdout, engine_pb2.EngineEvent)
    assert event is not None
    assert "no EngineJob" in event.failure.detail
    assert process.wait(PATIENCE_S) == 1


def variant_process(tmp_path: Path) -> VariantProcess:
    return VariantProcess(BoardRoot(tmp_path), time.monotonic_ns() + PATIENCE_S * 10**9)


def test_what_a_library_prints_does_not_reach_the_pipe() -> None:
    code = (
        "import os, sys\n"
        "from edgemeter_agent.engine.pipes import take_stdio, write_message\n"
        "from edgemeter_protos.v1 import engine_pb2\n"
        "reader, writer = take_stdio()\n"
        "print('from Python', flush=True)\n"
        "os.write(1, b'from C')\n"
        "os.system('echo from a program')\n"
        "assert sys.stdin.read() == ''\n"
        "write_message(writer, engine_pb2.EngineEvent(done=engine_pb2.EngineDone()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=b"not for the library", capture_output=True)
    assert done.returncode == 0, done.stderr
    only = io.BufferedReader(io.BytesIO(done.stdout))
    assert read_message(only, engine_pb2.EngineEvent) == engine_pb2.EngineEvent(done=engine_pb2.EngineDone())
    assert only.read() == b""
    for said in (b"from Python", b"from C", b"from a program"):
        assert said in done.stderr


def test_the_empty_runtime_in_a_process_of_its_own(tmp_path: Path) -> None:
    with variant_process(tmp_path) as process:
        process.load(engine_pb2.ChildLoad(runtime="null"))
        process.golden(engine_pb2.ChildGolden())
        block = process.block(engine_pb2.ChildBlock(min_queries=500, batch_queries=1))
        assert len(block.latency_ns) == 500
        assert block.after.monotonic_ns - block.before.monotonic_ns >= block.duration_ns
        assert block.duration_ns >= sum(block.latency_ns)
        assert process.exit() > 1_000_000


@pytest.mark.parametrize(
    ("ask", "code", "detail"),
    [
        (
            lambda p: p.load(engine_pb2.ChildLoad(runtime="warp")),
            "load_failed",
            "no runtime is called 'warp'",
        ),
        (lambda p: p.block(engine_pb2.ChildBlock(min_queries=1)), "query_failed", "no model is loaded"),
        (lambda p: p.golden(engine_pb2.ChildGolden()), "golden_failed", "no model is loaded"),
        (
            lambda p: p.evaluate(engine_pb2.ChildEvaluate(inputs_path="/x")),
            "evaluation_failed",
            "x is no .npz",
        ),
    ],
)
def test_an_error_is_one_line_and_the_process_lives_on(
    tmp_path: Path, ask: Callable[[VariantProcess], object], code: str, detail: str
) -> None:
    with variant_process(tmp_path) as process:
        with pytest.raises(VariantError) as caught:
            ask(process)
        assert caught.value.code == code
        assert detail in caught.value.detail
        assert process.exit()


def test_a_process_that_died_between_two_requests_is_crashed(tmp_path: Path) -> None:
    with variant_process(tmp_path) as process:
        process.load(engine_pb2.ChildLoad(runtime="null"))
        os.kill(process.pid, signal.SIGSEGV)
        with pytest.raises(VariantError, match="SIGSEGV") as caught:
            process.golden(engine_pb2.ChildGolden())
        assert caught.value.code == "crashed"


def test_a_variant_process_ends_with_its_pipe() -> None:
    command = [sys.executable, "-m", "edgemeter_agent.engine.child", "--parent", str(os.getpid())]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    assert process.wait(PATIENCE_S) == 0
    assert select.select([process.stdout], [], [], 0)[0]
    process.stdout.close()


def test_a_variant_process_whose_parent_is_gone_already_does_not_start() -> None:
    command = [sys.executable, "-m", "edgemeter_agent.engine.child", "--parent", "1"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_S)
    assert done.returncode == 1
    assert not done.stderr
