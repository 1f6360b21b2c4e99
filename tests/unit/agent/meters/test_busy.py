"""The load that a board makes by itself."""

from __future__ import annotations

import os
import signal
import subprocess

import psutil

from edgemeter_agent.interpreter import module_command
from edgemeter_agent.meters import busy


def test_one_process_for_each_processor_and_none_afterwards() -> None:
    before = psutil.Process().children()
    with busy.all_processors():
        made = [child for child in psutil.Process().children() if child not in before]
        assert len(made) == len(os.sched_getaffinity(0))
    assert not [child for child in made if child.is_running()]


def test_a_load_ends_when_whoever_made_it_is_gone() -> None:
    process = subprocess.Popen(module_command("edgemeter_agent.meters.busy"), stdin=subprocess.PIPE)
    assert process.poll() is None
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(60) == -signal.SIGTERM
