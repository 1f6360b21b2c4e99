"""Converts models, dispatches them to boards and judges what comes back: service, CLI, SDK.

    lab = edgemeter_coordinator.connect()
    study = lab.bench("model.keras", "digits.npz", recipes=["float32", "int8"], devices=["board=pi5"])
    study.wait()
    for result in study.results(): ...

Importing this package imports neither gRPC nor SQL: `connect` does, when it is called.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgemeter_coordinator.sdk.errors import EdgemeterError, Refused, Unreachable, WaitTimeout

if TYPE_CHECKING:
    from edgemeter_coordinator.sdk.lab import Lab

__all__ = ["EdgemeterError", "Refused", "Unreachable", "WaitTimeout", "connect"]


def connect(address: str | None = None, *, token: str | None = None, ca: str | Path | None = None) -> Lab:
    """A lab: what a user can ask of the coordinator at `address` ("HOST:PORT").

    What is not given comes from EDGEMETER_COORDINATOR, EDGEMETER_TOKEN and EDGEMETER_CA, and then
    from the file that `edgemeter serve` and `edgemeter login` write. `ca` is a file of the CA's
    certificate, or its PEM text. Nothing is sent before the first call.

    Raises EdgemeterError where something is in none of the three, or cannot be read.
    """
    from edgemeter_coordinator.sdk.lab import Lab
    from edgemeter_coordinator.sdk.settings import resolve

    return Lab(resolve(address=address, token=token, ca=ca))
