"""A study that was submitted: watch it, wait for it, take its results."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc

from edgemeter_coordinator.sdk.channel import is_transient, translate
from edgemeter_coordinator.sdk.errors import EdgemeterError, WaitTimeout
from edgemeter_coordinator.sdk.raw_files import raw_files
from edgemeter_protos.v1 import lab_pb2

if TYPE_CHECKING:
    from edgemeter_coordinator.sdk.lab import Lab

ENDED = frozenset((lab_pb2.STUDY_STATE_COMPLETED, lab_pb2.STUDY_STATE_FAILED, lab_pb2.STUDY_STATE_CANCELLED))

_FIRST_PAUSE_S = 0.2
_LONGEST_PAUSE_S = 3.0


def state_name(study: lab_pb2.Study) -> str:
    """ "converting", "measuring", "completed", "failed" or "cancelled"."""
    return lab_pb2.StudyState.Name(study.state).removeprefix("STUDY_STATE_").lower()


class Study:
    """A handle to one study; it holds the study as it was last seen, in `last`."""

    def __init__(self, lab: Lab, study: lab_pb2.Study) -> None:
        self._lab = lab
        self.last = study

    @property
    def id(self) -> str:
        return self.last.id

    @property
    def name(self) -> str:
        return self.last.name

    @property
    def state(self) -> str:
        """As last seen: "converting", "measuring", "completed", "failed" or "cancelled"."""
        return state_name(self.last)

    @property
    def ended(self) -> bool:
        """As last seen."""
        return self.last.state in ENDED

    def status(self) -> lab_pb2.Study:
        """The study as it is now, its variants and jobs with it."""
        self.last = self._lab.get_study(self.id)
        return self.last

    def watch(self, *, timeout_s: float | None = None, reconnect_s: float = 60.0) -> Iterator[lab_pb2.Study]:
        """The study as it is now and again after each change, until it has ended.

        A coordinator that restarts meanwhile is found again; Unreachable is raised when it has been
        away for `reconnect_s`, at once where it was not there to begin with. Raises WaitTimeout
        after `timeout_s`.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        lost_at_s: float | None = None
        pause_s = _FIRST_PAUSE_S
        reached = False
        while True:
            failure: grpc.RpcError | None = None
            call = self._lab.stub.WatchStudy(
                lab_pb2.WatchStudyRequest(study=self.id),
                timeout=None if deadline_s is None else max(0.0, deadline_s - time.monotonic()),
            )
            try:
                for response in call:
                    reached, lost_at_s, pause_s = True, None, _FIRST_PAUSE_S
                    self.last = response.study
                    yield response.study
                    if self.ended:
                        return
            except grpc.RpcError as error:
                failure = error
            finally:
                call.cancel()
            now_s = time.monotonic()
            if deadline_s is not None and now_s >= deadline_s:
                raise WaitTimeout(
                    f"study {self.name} had not ended after {timeout_s:g} s; it goes on:"
                    f" `edgemeter study watch {self.id}`"
                )
            lost_at_s = now_s if lost_at_s is None else lost_at_s
            # A stream that ends without an error before the study has ended is a coordinator that stops.
            if failure is not None and not (
                is_transient(failure) and reached and now_s - lost_at_s < reconnect_s
            ):
                raise translate(failure, self._lab.address) from failure
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def wait(
        self, timeout_s: float | None = None, progress: Callable[[lab_pb2.Study], None] | None = None
    ) -> lab_pb2.Study:
        """Blocks until the study has ended, however it did, and returns it.

        `progress` is called with the study after each change. Raises WaitTimeout after `timeout_s`,
        and Unreachable.
        """
        for study in self.watch(timeout_s=timeout_s):
            if progress is not None:
                progress(study)
        return self.last

    def results(self, *, include_late: bool = False) -> list[dict[str, Any]]:
        """One dictionary a variant and device, of the form that docs/results.md documents."""
        from edgemeter_coordinator.report import export

        return export.exported(self.responses(include_late=include_late))

    def responses(self, *, include_late: bool = False) -> list[lab_pb2.ListResultsResponse]:
        """What `results` is made of: with manifests, plans and the digests of raw samples."""
        return self._lab.list_results(self.id, include_late=include_late)

    def download_raw(self, folder: str | Path, *, include_late: bool = False) -> list[Path]:
        """Writes every result's raw samples, outputs and power trace, as far as there are any, into `folder`,
        which is made where it is not there; the files. Raises EdgemeterError."""
        into = Path(folder)
        try:
            into.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EdgemeterError(f"cannot make the folder {into}: {error.strerror or error}") from error
        written = []
        for name, digest in raw_files(self.responses(include_late=include_late)):
            self._lab.download(digest, into / name)
            written.append(into / name)
        return written

    def cancel(self) -> lab_pb2.Study:
        """Stops what runs and drops what waits; results that are there stay."""
        self.last = self._lab.cancel_study(self.id)
        return self.last

    def __repr__(self) -> str:
        return f"<Study {self.name} ({self.id}): {self.state}>"
