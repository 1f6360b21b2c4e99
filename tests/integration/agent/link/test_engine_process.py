"""Engines that outlive their agent."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgemeter_agent import engine_process

SLEEP = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]


@pytest.fixture
def survivor() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(SLEEP, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_survivor_is_killed(survivor: subprocess.Popen[bytes], tmp_path: Path) -> None:
    record = tmp_path / "engine.json"
    record.write_text(json.dumps(engine_process._process_record(survivor.pid)))
    assert engine_process.kill_survivor(record)
    assert survivor.wait(30) == -9
    assert not record.exists()


@pytest.mark.parametrize("field", ["start_ticks", "boot_id"])
def test_another_process_with_its_number_is_left_alone(
    survivor: subprocess.Popen[bytes], tmp_path: Path, field: str
) -> None:
    record = tmp_path / "engine.json"
    facts = engine_process._process_record(survivor.pid)
    assert facts is not None
    record.write_text(json.dumps({**facts, field: "another"}))
    assert not engine_process.kill_survivor(record)
    assert survivor.poll() is None
    assert not record.exists()


@pytest.mark.parametrize(
    "content", [None, "", "null", "[1]", '{"pid": "x"}', '{"pid": -1, "start_ticks": 1, "boot_id": ""}']
)
def test_a_record_of_nothing_kills_nothing(tmp_path: Path, content: str | None) -> None:
    record = tmp_path / "engine.json"
    if content is not None:
        record.write_text(content)
    assert not engine_process.kill_survivor(record)
    assert not record.exists()
