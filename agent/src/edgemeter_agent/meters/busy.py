"""A load that every board can make: all of its processors kept busy.

Run as `python -m edgemeter_agent.meters.busy`, it is one processor's share, until its standard input closes.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

from edgemeter_agent.interpreter import module_command


@contextlib.contextmanager
def all_processors() -> Iterator[None]:
    """As many processes as this one may use processors. They end with it, however it ends."""
    command = module_command("edgemeter_agent.meters.busy")
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(len(os.sched_getaffinity(0))):
            process = subprocess.Popen(command, stdin=subprocess.PIPE)
            processes.append(process)
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def main() -> None:
    from edgemeter_agent.engine.lifeline import end_when_closed

    end_when_closed(sys.stdin.buffer)
    number = 1
    while True:
        number = number * 1_103_515_245 + 12_345 & 0x7FFF_FFFF


if __name__ == "__main__":
    main()
