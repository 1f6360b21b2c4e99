"""The command without a coordinator: help, completion, and what it imports."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.desk import Desk

# What makes a command slow to start, or must not be there at all.
HEAVY = ("sqlalchemy", "alembic", "distributed", "grpc", "cryptography", "numpy", "tensorflow", "keras")

PROBE = """
import json, sys
sys.argv = ["edgemeter", *{arguments!r}]
from edgemeter_coordinator.cli.app import main
try:
    main()
except SystemExit as end:
    assert end.code == 0, end.code
heavy = [name for name in {heavy!r} if name in sys.modules]
print(json.dumps(heavy), file=sys.stderr)
"""


def imported(arguments: list[str], desk: Desk) -> list[str]:
    code = PROBE.format(arguments=arguments, heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=desk.environment)
    assert done.returncode == 0, done.stderr
    names: list[str] = json.loads(done.stderr.splitlines()[-1])
    return names


@pytest.mark.parametrize("arguments", [["--help"], ["bench", "--help"], ["--version"]], ids=" ".join)
def test_help_imports_nothing_heavy(arguments: list[str], desk: Desk) -> None:
    assert imported(arguments, desk) == []


def test_importing_the_package_imports_no_grpc() -> None:
    code = f"import sys, edgemeter_coordinator; sys.exit(any(name in sys.modules for name in {HEAVY!r}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_service_is_told_apart_from_its_clients(desk: Desk) -> None:
    """The SDK imports gRPC, and nothing that only the service needs."""
    code = f"""
import sys
import edgemeter_coordinator.sdk.lab, edgemeter_coordinator.sdk.login
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "['grpc']"


def test_a_bare_command_helps(desk: Desk) -> None:
    for line in ("edgemeter", "edgemeter token"):
        done = desk.run(line)
        assert done.returncode == 2
        assert "Usage" in done.stdout
        assert done.stderr == ""


def test_help_shows_the_example(desk: Desk) -> None:
    assert "edgemeter token new --label rack=a" in " ".join(desk.ok("edgemeter token new --help").split())


@pytest.mark.parametrize(
    "line",
    [
        # An option's name, which is no number of the plan.
        "edgemeter bench m --recipe int8 --set name=3",
        "edgemeter bench m --recipe int8 --set profile=3",
        "edgemeter serve --advertise 'a b'",
    ],
)
def test_mistakes_that_need_no_coordinator(desk: Desk, line: str) -> None:
    assert "error: " in desk.refused(line)


def test_an_argument_that_is_no_text(desk: Desk) -> None:
    done = subprocess.run(
        [b"edgemeter", b"study", b"show", b"\xff", b"--coordinator", b"\xff"],
        capture_output=True,
        env=desk.environment,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_the_version(desk: Desk) -> None:
    assert desk.ok("edgemeter --version").startswith("edgemeter 0.")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(desk: Desk, shell: str) -> None:
    # Asked for by name: --show-completion goes by the shell that it runs under.
    asked = {"_EDGEMETER_COMPLETE": f"source_{shell}"}
    done = subprocess.run(["edgemeter"], capture_output=True, text=True, env=desk.environment | asked)
    assert done.returncode == 0, done.stderr
    assert f"complete_{shell}" in done.stdout
    assert "edgemeter" in done.stdout


def test_completion_of_the_shell_at_hand(desk: Desk) -> None:
    # With a second command, bash does not put the first one in its own place.
    line = "edgemeter --show-completion; exit $?"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=desk.environment)
    assert done.returncode == 0, done.stderr
    assert "complete_bash" in done.stdout


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("edgemeter tok", ["token"]),
        ("edgemeter study ", ["ls", "show", "watch", "cancel", "run", "bundle", "replay"]),
        ("edgemeter bench m --profile st", ["standard"]),
        ("edgemeter bench m --scenario of", ["offline"]),
        ("edgemeter meter ", ["attach", "detach", "ls"]),
        ("edgemeter result export s --format ", ["json", "csv", "parquet"]),
        ("edgemeter bench --dry", ["--dry-run"]),
    ],
)
def test_the_shell_completes(desk: Desk, typed: str, completed: list[str]) -> None:
    words = typed.split(" ")
    asked = {
        "_EDGEMETER_COMPLETE": "complete_bash",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
    }
    done = subprocess.run(["edgemeter"], capture_output=True, text=True, env=desk.environment | asked)
    assert done.stdout.split() == completed
