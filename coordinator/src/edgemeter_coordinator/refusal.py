"""Why something that a user or a board asked for was not done."""

from __future__ import annotations

from edgemeter_protos.v1 import refusal_pb2


class Refused(Exception):
    """What was asked for can't be done, through no fault of the coordinator.

    `message` is the one line that the caller reads: what was wrong, with which input, what to do. The
    service turns this exception into a typed refusal (`service.refusal`).
    """

    def __init__(self, reason: refusal_pb2.RefusalReason.ValueType, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
