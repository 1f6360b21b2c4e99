from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgemeter_agent import cli


@pytest.mark.parametrize("command", ["join", "run", "status", "completion"])
def test_every_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    assert (
        f"example: {'eval' if command == 'completion' else 'edgemeter-agent ' + command}"
        in capsys.readouterr().out
    )


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in cli.COMMANDS)


def test_without_a_command_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert ended.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("edgemeter-agent ")


def test_status_of_a_board_that_has_not_joined(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--json", "--state-dir", str(tmp_path)]) == 1
    status = json.loads(capsys.readouterr().out)
    assert status["joined"] is False
    assert status["held_attempts"] == []
    assert status["running_pid"] is None


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        pytest.param(["edgemeter-agent", "jo"], ["join"], id="a command"),
        pytest.param(["edgemeter-agent", "run", "--lo"], ["--log-level"], id="an option"),
        pytest.param(["edgemeter-agent", "meter", "ca"], ["calibrate"], id="an action of a command"),
        pytest.param(["edgemeter-agent", "meter", "watch", "--du"], ["--duration"], id="an action's option"),
    ],
)
def test_bash_completes(words: list[str], completions: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["completion", "bash"])
    script = capsys.readouterr().out
    typed = " ".join(words)
    script += (
        f'COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _edgemeter_agent; echo "${{COMPREPLY[@]}}"\n'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == completions, done.stderr


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgemeter_agent", "run", "--help"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert "--state-dir" in done.stdout
