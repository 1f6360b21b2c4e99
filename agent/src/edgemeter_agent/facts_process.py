"""Reads the board's facts in a process of its own: what that needs in memory, the agent would keep for days.

Run as `python -m edgemeter_agent.facts_process`, it writes a serialized DeviceFacts to stdout.
"""

from __future__ import annotations

import subprocess
import sys

from edgemeter_agent.failure import AgentError
from edgemeter_agent.interpreter import module_command
from edgemeter_protos.v1 import device_pb2

TIMEOUT_S = 60


def read_facts_apart() -> device_pb2.DeviceFacts:
    """The facts as of now; takes as long as to start an interpreter. Raises AgentError."""
    command = module_command("edgemeter_agent.facts_process")
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AgentError(f"this board's facts cannot be read: {error}") from error
    if done.returncode != 0:
        complaint = (done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"])[-1]
        raise AgentError(f"this board's facts cannot be read: {complaint}")
    return device_pb2.DeviceFacts.FromString(done.stdout)


def main() -> None:
    from edgemeter_agent.board.facts import read_facts

    sys.stdout.buffer.write(read_facts().SerializeToString())


if __name__ == "__main__":
    main()
