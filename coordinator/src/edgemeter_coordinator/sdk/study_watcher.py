"""What is told of a study file's run while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgemeter_protos.v1 import lab_pb2

if TYPE_CHECKING:
    from edgemeter_coordinator.sdk.study import Study


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one part.

    Attributes:
        study: None where none could be made.
        reused: it was there before this run, and had ended.
        problem: why there is no study; empty where there is one.
        left_out: recipes that this model or these boards can't have, with the reason.
    """

    part: str
    application: str
    study: Study | None
    reused: bool = False
    problem: str = ""
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def state(self) -> str:
        """That of its study, or "not made"."""
        return "not made" if self.study is None else self.study.state

    @property
    def completed(self) -> bool:
        return self.state == "completed"


class Watcher:
    """Hears of everything, and does nothing about it."""

    def began(self, place: int, total: int, part: str) -> None:
        """The part at `place`, from 0, of `total`."""

    def doing(self, line: str) -> None:
        """What is done before a part's study runs."""

    def uploading(self, file: str, done_bytes: int, total_bytes: int) -> None: ...

    def measuring(self, study: lab_pb2.Study) -> None:
        """After each change of the part's study."""

    def ended(self, outcome: Outcome) -> None: ...

    def upload_of(self, file: str) -> Callable[[int, int], None]:
        """What `Lab.add_model` is to tell of the file."""
        return lambda done_bytes, total_bytes: self.uploading(file, done_bytes, total_bytes)
