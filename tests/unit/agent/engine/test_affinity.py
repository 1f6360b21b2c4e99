"""Pinning, against a kernel that does as sched_setaffinity(2) says: it takes what of a set it can, and
refuses one of which nothing is left."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

import pytest

from edgemeter_agent.engine import affinity


class Kernel:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, allowed: set[int]) -> None:
        self.allowed = allowed
        self.now = set(allowed)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(self.now))
        monkeypatch.setattr(os, "sched_setaffinity", self._set)

    def _set(self, _pid: int, cpus: Iterable[int]) -> None:
        possible = set(cpus) & self.allowed
        if not possible:
            raise OSError(errno.EINVAL, "Invalid argument")
        self.now = possible


@pytest.mark.parametrize(("cpus", "now"), [([], [0, 1, 2, 3]), ([3], [3]), ([2, 0], [0, 2])])
def test_pinned(monkeypatch: pytest.MonkeyPatch, cpus: list[int], now: list[int]) -> None:
    Kernel(monkeypatch, {0, 1, 2, 3})
    affinity.pin(cpus)
    assert affinity.allowed_cpus() == now


@pytest.mark.parametrize(
    ("cpus", "says"),
    [
        # the kernel would run us on 1 alone, and say nothing
        ([1, 7], "affinity_cpus: processor 7 is not to be had; this process may run on 0-3, 6"),
        ([8, 9], "affinity_cpus: processor 8-9 is not to be had"),
    ],
)
def test_what_is_not_to_be_had(monkeypatch: pytest.MonkeyPatch, cpus: list[int], says: str) -> None:
    kernel = Kernel(monkeypatch, {0, 1, 2, 3, 6})
    with pytest.raises(ValueError, match=says):
        affinity.pin(cpus)
    assert kernel.now == {0, 1, 2, 3, 6}


def test_a_sandbox_that_forbids_pinning(monkeypatch: pytest.MonkeyPatch) -> None:
    Kernel(monkeypatch, {0, 1})

    def forbid(_pid: int, cpus: Iterable[int]) -> None:
        if set(cpus) != {0, 1}:
            raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", forbid)
    with pytest.raises(ValueError, match="processor 1 is not to be had; this process may run on 0-1"):
        affinity.pin([1])


@pytest.mark.parametrize(
    ("cpus", "text"), [({0}, "0"), ({0, 1, 2}, "0-2"), ({3, 0, 1, 6}, "0-1, 3, 6"), (set(), "")]
)
def test_lists_of_processors(cpus: set[int], text: str) -> None:
    assert affinity.named(cpus) == text
