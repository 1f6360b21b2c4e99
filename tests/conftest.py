"""What all tests share: in CI, a skipped test is a failed run unless its reason is expected."""

from __future__ import annotations

import os

import pytest

EXPECTED_SKIPS: tuple[str, ...] = ()
"""Beginnings of the reasons for which a test may skip in CI too."""

_unexpected: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    if not reason.removeprefix("Skipped: ").startswith(EXPECTED_SKIPS or ("\0",)):
        _unexpected.append(f"{report.nodeid}: {reason}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _unexpected and os.environ.get("CI") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _unexpected and os.environ.get("CI"):
        terminalreporter.section("skipped without leave in CI", red=True)
        for line in _unexpected:
            terminalreporter.line(line)
