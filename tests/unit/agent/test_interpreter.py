from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgemeter_agent import facts_process
from edgemeter_agent.interpreter import module_command

TRAP = "raise SystemExit('taken from the current folder')\n"


@pytest.fixture
def trapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose files have the names of modules, as people's folders do."""
    for name in ("random", "runpy", "numpy", "google"):
        (tmp_path / f"{name}.py").write_text(TRAP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_itself_would_take_the_files_of_the_folder(trapped: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "random"], cwd=trapped, capture_output=True, text=True)
    assert "taken from the current folder" in done.stderr


def test_the_facts_are_read_wherever_the_agent_is_started(trapped: Path) -> None:
    assert facts_process.read_facts_apart().cpu_count > 0


def test_a_module_gets_its_arguments_and_the_name_main(trapped: Path) -> None:
    package = trapped / "elsewhere"
    package.mkdir()
    (package / "told.py").write_text("import sys; print(__name__, sys.argv[1:])\n")
    done = subprocess.run(
        [*module_command("told"), "--root", "/"],
        env={"PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split(maxsplit=1) == ["__main__", "['--root', '/']\n"]
