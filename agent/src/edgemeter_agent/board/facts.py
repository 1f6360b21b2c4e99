"""What a board says of itself when it joins. Imports neither numpy nor a runtime."""

from __future__ import annotations

import os
import platform
import socket
import struct
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

from edgemeter_agent.board import emulation, identity
from edgemeter_agent.board.observables import observables
from edgemeter_agent.board.root import BoardRoot
from edgemeter_agent.meters import Unusable, registry
from edgemeter_agent.runtimes import kind
from edgemeter_agent.runtimes.accelerators import available
from edgemeter_agent.runtimes.installed import installed_runtimes
from edgemeter_protos.v1 import device_pb2


def architecture() -> str:
    """platform.machine(), but for a 32-bit userland on a 64-bit kernel, as 32-bit Raspberry Pi OS has it:
    there the programs, and so the runtimes, are 32-bit."""
    machine = platform.machine()
    if struct.calcsize("P") == 4:
        return {"aarch64": "armv7l", "x86_64": "i686"}.get(machine, machine)
    return machine


def read_facts(
    board: BoardRoot | None = None,
    environment: Mapping[str, str] = os.environ,
    meter_specs: Sequence[str] = (),
    calibrations_dir: Path | None = None,
) -> device_pb2.DeviceFacts:
    """The facts as of now; takes milliseconds, and on a Raspberry Pi 5 about 50 for its meter."""
    board = board or BoardRoot()
    arch = architecture()
    runtimes = installed_runtimes()
    meters = registry.find(board, meter_specs, calibrations_dir)
    facts = device_pb2.DeviceFacts(
        hostname=socket.gethostname(),
        board=identity.board_name(board, arch),
        soc=identity.soc_name(board, arch),
        arch=arch,
        os=identity.operating_system(board),
        kernel=platform.release(),
        libc=_libc(),
        cpu_count=os.cpu_count() or 1,
        memory_bytes=identity.memory_bytes(board),
        python_version=platform.python_version(),
        agent_version=version("edgemeter-agent"),
        runtimes=[
            device_pb2.RuntimeFacts(
                name=runtime.name, version=runtime.version, accelerators=available(kind(runtime.name))
            )
            for runtime in runtimes
            if runtime.usable
        ],
        meters=[registry.facts(meter) for meter in meters if not isinstance(meter, Unusable)],
        observables=observables(board, meters),
        emulated=emulation.emulated_because(board, arch, environment) is not None,
    )
    registry.close(meters)
    return facts


def _libc() -> str:
    try:
        name = os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        name = None  # musl knows no such name
    return name or " ".join(platform.libc_ver()).strip() or "unknown"
