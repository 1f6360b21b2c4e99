"""What can go wrong for a user. The message of each is the one line that the user reads."""

from __future__ import annotations


class EdgemeterError(Exception):
    """What was wrong, with which input, and what to do next: one line."""


class NotConfigured(EdgemeterError):
    """It is not known where the coordinator is, or how to be believed there."""


class Unreachable(EdgemeterError):
    """The coordinator at `address` does not answer, or is not the one whose CA was pinned."""

    def __init__(self, message: str, *, address: str) -> None:
        super().__init__(message)
        self.address = address


class Refused(EdgemeterError):
    """The coordinator understood and said no.

    `reason` is the name of a RefusalReason without its prefix ("NO_DEVICE_MATCHES"), or the name of a
    gRPC status where the coordinator gave no reason of its own.
    """

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class WaitTimeout(EdgemeterError, TimeoutError):
    """A study had not ended in the time that the caller gave it. It goes on all the same."""
