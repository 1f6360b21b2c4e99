"""A running shifted_server."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass

from edgemeter_agent.meters.remote import RemoteMeter
from edgemeter_agent.meters.spec import parse


@dataclass(frozen=True)
class Shifted:
    process: subprocess.Popen[str]
    port: int

    def connect(
        self, token: str = "", *, timeout_s: float = 5.0, compare_every_s: float = 0.25
    ) -> RemoteMeter:
        spec = parse(f"remote:127.0.0.1:{self.port}")
        return RemoteMeter(
            spec, ("127.0.0.1", self.port), token, timeout_s=timeout_s, compare_every_s=compare_every_s
        )
