"""What all tests share: material and desks; and in CI, a test that skips without leave fails the run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.desk import Desk

# How long an example takes is the machine's affair: no test asserts a timing.
settings.register_profile("edgemeter", deadline=None)
settings.load_profile("edgemeter")

EXPECTED_SKIPS = (
    "a full disk: mounting a small file system takes root",
    "systemd-analyze is not installed",
)
"""Beginnings of the reasons for which a test may skip in CI too."""

_unexpected: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not reason.removeprefix("Skipped: ").startswith(EXPECTED_SKIPS):
        _unexpected.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _unexpected and os.environ.get("CI") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _unexpected and os.environ.get("CI"):
        terminalreporter.section("skipped without leave in CI", red=True)
        for line in _unexpected:
            terminalreporter.line(line)


HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with stripes.keras, stripes.npz and the files that must be refused."""
    folder = tmp_path_factory.mktemp("material")
    done = subprocess.run(
        [sys.executable, HERE / "train_stripes.py", folder], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An empty desk."""
    desk = Desk(tmp_path)
    yield desk
    desk.finish()


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory, material: Path) -> Iterator[Desk]:
    """A desk with a coordinator, one attached board, the model `stripes` and the data `stripes`."""
    desk = Desk(tmp_path_factory.mktemp("office"))
    try:
        desk.serve()
        desk.join()
        desk.attend()
        desk.ok(f"edgemeter model add {material / 'stripes.keras'}")
        desk.ok(f"edgemeter data add {material / 'stripes.npz'}")
        yield desk
    finally:
        desk.finish()
