"""What a conversion can fail with; each message is the one line that the user reads."""

from __future__ import annotations

from edgemeter_protos.v1 import refusal_pb2

UNSPECIFIED: int = refusal_pb2.REFUSAL_REASON_UNSPECIFIED


class ConversionError(Exception):
    """A model, its data or its recipe can't be converted. Survives pickling, so that it crosses processes.

    Attributes:
        message: one line: what was wrong, with which input, and what to do.
        reason: a `RefusalReason`; 0 where the converter itself failed.
        log_tail: the last lines that the tools wrote; empty where none ran.
        log_path: the whole log; empty where none was kept.
    """

    def __init__(
        self, message: str, *, reason: int = UNSPECIFIED, log_tail: str = "", log_path: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.log_tail = log_tail
        self.log_path = log_path

    def __reduce__(self) -> tuple[object, ...]:
        return _restore, (self.message, self.reason, self.log_tail, self.log_path)


class RecipeError(ConversionError):
    """A recipe that can't be read, or whose parts can't be combined."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason=refusal_pb2.REFUSAL_REASON_UNKNOWN_RECIPE)

    def __reduce__(self) -> tuple[object, ...]:
        return RecipeError, (self.message,)


def _restore(message: str, reason: int, log_tail: str, log_path: str) -> ConversionError:
    return ConversionError(message, reason=reason, log_tail=log_tail, log_path=log_path)
