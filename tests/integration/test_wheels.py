"""The agent's wheels install into an empty environment, stay light, and measure there."""

from __future__ import annotations

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("tensorflow", "torch", "keras", "sqlalchemy", "rich", "typer", "edgemeter_coordinator")

pytestmark = [pytest.mark.slow, pytest.mark.needs_tensorflow]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    for project in ("protos", "agent"):
        made = subprocess.run(
            [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT / project],
            capture_output=True,
            text=True,
        )
        assert made.returncode == 0, made.stdout + made.stderr
    return folder


# The extra, and the runtime that it brings.
EXTRAS = [
    pytest.param("litert", "litert", id="64-bit boards"),
    pytest.param(
        "tflite",
        "tflite-runtime",
        id="32-bit boards",
        marks=pytest.mark.skipif(
            sys.version_info >= (3, 12), reason="tflite-runtime 2.14 has no wheel for Python 3.12 and newer"
        ),
    ),
]


@pytest.mark.parametrize(("extra", "runtime"), EXTRAS)
def test_agent_alone(extra: str, runtime: str, wheels: Path, material: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    agent = next(wheels.glob("edgemeter_agent-*.whl"))
    installed = subprocess.run(
        [python, "-m", "pip", "install", "-q", "--find-links", wheels, f"{agent}[{extra}]"],
        capture_output=True,
        text=True,
    )
    assert installed.returncode == 0, installed.stderr
    probe = f"import importlib.util as u; print([n for n in {HEAVY!r} if u.find_spec(n)])"
    assert subprocess.check_output([python, "-c", probe], text=True).strip() == "[]"

    command = environment / "bin" / "edgemeter-agent"
    doctor = json.loads(subprocess.check_output([command, "doctor", "--json"], text=True, cwd=tmp_path))
    assert runtime in {item["name"] for item in doctor["runtimes"]}

    measured = subprocess.run(
        [command, "bench", material / "stripes.tflite", "--profile", "quick", "--json"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=240,
    )
    assert measured.returncode == 0, measured.stderr
    (row,) = json.loads(measured.stdout)
    assert row["runtime"].split()[0] == runtime
    assert row["latency"]["p50_ns"] > 0
