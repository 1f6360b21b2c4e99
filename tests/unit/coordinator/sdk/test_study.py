"""Watching a study over a coordinator that comes and goes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from edgemeter_coordinator.sdk import study as studies
from edgemeter_coordinator.sdk.errors import Refused, Unreachable, WaitTimeout
from edgemeter_coordinator.sdk.lab import Lab
from edgemeter_coordinator.sdk.study import Study
from edgemeter_protos.v1 import lab_pb2

CONVERTING = lab_pb2.STUDY_STATE_CONVERTING
MEASURING = lab_pb2.STUDY_STATE_MEASURING
COMPLETED = lab_pb2.STUDY_STATE_COMPLETED


class Failed(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code

    def details(self) -> str:
        return "cut"


LOST = Failed(grpc.StatusCode.UNAVAILABLE)


class Stream:
    """One call of WatchStudy: states, then perhaps an error."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = items
        self.cancelled = False

    def __iter__(self) -> Iterator[lab_pb2.WatchStudyResponse]:
        for item in self._items:
            if isinstance(item, grpc.RpcError):
                raise item
            yield lab_pb2.WatchStudyResponse(study=lab_pb2.Study(id="s1", name="first", state=item))

    def cancel(self) -> None:
        self.cancelled = True


class Clock:
    """time's functions that watching uses; sleeping is what moves it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept_s: list[float] = []

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        self.slept_s.append(duration_s)
        self.now_s += duration_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(studies, "time", clock)
    return clock


def watched(*calls: Iterable[Any]) -> tuple[Study, list[Stream]]:
    """A study whose WatchStudy answers with `calls`, the last of them for ever."""
    streams: list[Stream] = []

    def watch_study(_request: lab_pb2.WatchStudyRequest, timeout: float | None) -> Stream:
        streams.append(Stream(calls[min(len(streams), len(calls) - 1)]))
        return streams[-1]

    lab = SimpleNamespace(address="lab:1", stub=SimpleNamespace(WatchStudy=watch_study))
    return Study(cast("Lab", lab), lab_pb2.Study(id="s1", name="first", state=CONVERTING)), streams


def test_until_it_ends(clock: Clock) -> None:
    study, streams = watched([CONVERTING, MEASURING, COMPLETED])
    assert [seen.state for seen in study.watch()] == [CONVERTING, MEASURING, COMPLETED]
    assert study.ended
    assert study.state == "completed"
    assert streams[0].cancelled
    assert clock.slept_s == []


@pytest.mark.parametrize(
    "cut",
    [
        pytest.param([CONVERTING, LOST], id="killed"),
        pytest.param([CONVERTING, Failed(grpc.StatusCode.CANCELLED)], id="stopped"),
        pytest.param([CONVERTING], id="ended the stream"),
    ],
)
def test_a_restart_is_survived(clock: Clock, cut: list[Any]) -> None:
    study, streams = watched(cut, [LOST], [LOST], [MEASURING, COMPLETED])
    assert study.wait().state == COMPLETED
    assert len(streams) == 4
    assert clock.slept_s == sorted(clock.slept_s), "each pause is at least as long as the one before"


def test_a_coordinator_that_stays_away_is_given_up(clock: Clock) -> None:
    study, _ = watched([CONVERTING, LOST], [LOST])
    with pytest.raises(Unreachable, match="lab:1"):
        list(study.watch(reconnect_s=30))
    assert 30 <= clock.now_s < 40


def test_being_away_twice_counts_anew(clock: Clock) -> None:
    away = [[LOST]] * 8
    study, _ = watched([CONVERTING, LOST], *away, [MEASURING, LOST], *away, [COMPLETED])
    assert study.wait().state == COMPLETED
    assert clock.now_s > 20


def test_a_coordinator_that_was_never_there_is_told_at_once(clock: Clock) -> None:
    study, _ = watched([LOST])
    with pytest.raises(Unreachable):
        study.wait()
    assert clock.now_s == 0


def test_an_error_is_not_tried_again(clock: Clock) -> None:
    study, streams = watched([CONVERTING, Failed(grpc.StatusCode.INTERNAL)])
    with pytest.raises(Refused):
        study.wait()
    assert len(streams) == 1


def test_waiting_has_an_end(clock: Clock) -> None:
    study, _ = watched([MEASURING])
    with pytest.raises(WaitTimeout, match=r"first.*goes on"):
        study.wait(timeout_s=5)
    assert 5 <= clock.now_s < 10


def test_progress_is_told_each_change(clock: Clock) -> None:
    seen: list[int] = []
    study, _ = watched([CONVERTING, MEASURING, COMPLETED])
    study.wait(progress=lambda last: seen.append(last.state))
    assert seen == [CONVERTING, MEASURING, COMPLETED]
