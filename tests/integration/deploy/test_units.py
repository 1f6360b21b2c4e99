"""The systemd units say what systemd understands, and start commands that exist."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))


def command_of(unit: Path) -> list[str]:
    (line,) = [text for text in unit.read_text().splitlines() if text.startswith("ExecStart=")]
    return shlex.split(line.removeprefix("ExecStart="))


def test_there_is_one_for_each_command() -> None:
    assert {Path(command_of(unit)[0]).name for unit in UNITS} == {"edgemeter", "edgemeter-agent"}


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_understands_it(unit: Path, tmp_path: Path) -> None:
    installed = str(Path(sys.executable).parent)
    copy = tmp_path / unit.name
    # root: the user that the unit names exists on boards only.
    text = unit.read_text().replace("/opt/edgemeter/bin", installed).replace("User=edgemeter", "User=root")
    copy.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if unit.name in line]
    assert not complaints, done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_its_command_takes_these_arguments(unit: Path) -> None:
    program, *arguments = command_of(unit)
    command = Path(sys.executable).parent / Path(program).name
    done = subprocess.run([command, *arguments, "--help"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
